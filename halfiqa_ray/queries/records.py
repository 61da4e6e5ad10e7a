"""The JSON files of an output as views: a row a run of a job, and a row a checkpoint and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halfiqa_ray import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Records:
    """A folder of JSON files, and the query that makes rows of them (columns file and record; null = no JSON)."""

    name: str  # of the folder and of the view
    file_name: str  # how the names of its files end
    query: str
    about: str


RUNS = """
SELECT record->>'$.job' AS job,
    record->>'$.settings.data.dataset' AS dataset,
    record->>'$.settings.model.name' AS model,
    left(record->>'$.run_key', 8) AS run,
    timezone('UTC', (record->>'$.started')::TIMESTAMPTZ) AS started,
    CASE WHEN record IS NULL THEN 'unreadable: no JSON' ELSE record->>'$.status' END AS status,
    (record->>'$.seconds.all')::DOUBLE AS seconds,
    record->'$.seconds' AS seconds_by_stage,
    record->'$.counts' AS counts,
    record->>'$.device' AS device,
    record->'$.settings' AS settings,
    record->'$.versions' AS versions,
    record,
    file
FROM {records} ORDER BY started, file"""

CHECKPOINTS = """
SELECT dataset, model, run, split,
    (metrics->>'$.n')::BIGINT AS n,
    (metrics->>'$.plcc')::DOUBLE AS plcc,
    (metrics->>'$.plcc_interval[0]')::DOUBLE AS plcc_low,
    (metrics->>'$.plcc_interval[1]')::DOUBLE AS plcc_high,
    (metrics->>'$.srcc')::DOUBLE AS srcc,
    (metrics->>'$.srcc_interval[0]')::DOUBLE AS srcc_low,
    (metrics->>'$.srcc_interval[1]')::DOUBLE AS srcc_high,
    (metrics->>'$.rmse')::DOUBLE AS rmse,
    (metrics->>'$.rmse_interval[0]')::DOUBLE AS rmse_low,
    (metrics->>'$.rmse_interval[1]')::DOUBLE AS rmse_high,
    record->>'$.model.backbone.name' AS backbone,
    record->>'$.stage' AS stage,
    (record->>'$.epoch')::BIGINT AS epoch,
    (record->>'$.synthetic')::BOOLEAN AS synthetic,
    CASE WHEN record IS NULL THEN 'unreadable: no JSON' ELSE 'complete' END AS status,
    record,
    file
FROM (
    SELECT *, record->'$.metrics'->split AS metrics
    FROM (
        SELECT split_part(file, '/', 2) AS dataset,
            split_part(file, '/', 3) AS model,
            split_part(file, '/', 4) AS run,
            unnest(CASE WHEN len(json_keys(record, '$.metrics')) > 0 THEN json_keys(record, '$.metrics')
                ELSE [NULL]::VARCHAR[] END) AS split,
            record,
            file
        FROM {records}
    )
)
ORDER BY dataset, model, run, split"""

RECORDS = (
    Records("runs", ".json", RUNS, "a row a run of a job: settings, seconds, counts, versions"),
    Records("checkpoints", "/model.json", CHECKPOINTS, "a row a trained model and split: agreement with MOS"),
)


def define_records(connection: DuckDBPyConnection, output: str) -> int:
    """Make a view of every one of ``RECORDS``; a file that is not JSON is a row whose status says so.

    Returns how many files there are.
    """
    count = 0
    for records in RECORDS:
        files = storage.list_files(storage.join(output, records.name), records.file_name, recursive=True)
        table = f"internal.{records.name}"
        connection.execute(f"CREATE TABLE {table} (file VARCHAR, record JSON)")
        for file in files:
            text = storage.read_bytes(file).decode(errors="replace")
            name = file.removeprefix(output.rstrip("/")).lstrip("/")
            connection.execute(f"INSERT INTO {table} VALUES (?, TRY_CAST(? AS JSON))", [name, text])
        connection.execute(f"CREATE VIEW {records.name} AS {records.query.format(records=table)}")
        count += len(files)
    return count
