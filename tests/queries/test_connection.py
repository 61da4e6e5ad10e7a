"""Views over an output: which rows they show, that they never break, and that SQL can do nothing else."""

import hashlib
import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import storage
from halfiqa_ray.masking.controls import centre_half
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.queries.connection import QueryError, connect
from halfiqa_ray.queries.sources import SOURCES, TABLES
from halfiqa_ray.stages.outputs import MEASURES_KEY, ZEROED_KEY
from halfiqa_ray.tables import build, experiments
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import read_zeroed
from halfiqa_ray.tables.stored.reading import find_run, find_runs, read_images, vectors
from tests.queries import results
from tests.queries.test_macros import counted_bytes
from tests.tables import planted, planted_derived

SMALL = Grid(2, 2)


def rows_of(connection, sql):
    return connection.sql(sql).fetchall()


def columns_of(connection, view):
    return {name: kind for name, kind, *_ in rows_of(connection, f'DESCRIBE "{view}"')}


@pytest.mark.parametrize("dataset", results.PHOTOS)
def test_rank_shows_the_stored_rows(asked, planted_output, dataset):
    expected = planted_output[1][dataset].sort_by("image_id").replace_schema_metadata(None)
    found = asked.sql(f"FROM rank WHERE dataset = '{dataset}' ORDER BY image_id").to_arrow_table()
    for name in expected.column_names:
        assert found[name].to_pylist() == expected[name].to_pylist(), name
    facts = {"run": results.RUNS[dataset], "model": "triq", "grid_rows": 3, "grid_columns": 4, "blocks": 12}
    for name, value in (facts | {"synthetic": True}).items():
        assert set(found[name].to_pylist()) == {value}, name


def test_the_other_views_show_the_stored_rows(asked, planted_output):
    output = str(planted_output[0])
    counted = {}
    for view in ("manifest", "measures", "zeroed", "errors"):
        files = storage.list_files(storage.join(output, view), ".parquet", recursive=True)
        counted[view] = sum(storage.read_table(file).num_rows for file in files)
        assert rows_of(asked, f"SELECT count(*) FROM {view}") == [(counted[view],)]
    assert min(counted.values()) > 0
    assert rows_of(asked, "SELECT DISTINCT dataset, model, run, rank_run FROM zeroed ORDER BY ALL") == [
        (dataset, model, f"3333444{results.MODELS.index(model)}", results.RUNS[dataset])
        for dataset in results.PHOTOS
        for model in sorted(results.MODELS)
    ]
    assert rows_of(asked, "SELECT stage, run, count(*) FROM errors GROUP BY ALL ORDER BY ALL") == [
        ("prepare", None, 2),
        ("rank", "00112233", 3),
        ("rank", "0123abcd", 3),
    ]


def test_measures_and_blocks_can_be_joined(asked, planted_output):
    found = asked.sql(
        "SELECT image_id, block, centre, block_means[block + 1] AS mean FROM measures "
        "JOIN grid_blocks USING (grid_rows, grid_columns) "
        "WHERE dataset = 'tiny' AND measure = 'saliency' ORDER BY image_id, block"
    ).to_arrow_table()
    (file, *_) = storage.list_files(str(planted_output[0] / "measures" / "dataset=tiny"), ".parquet", recursive=True)
    stored = storage.read_table(file)
    row = next(row for row in stored.to_pylist() if row["measure"] == "saliency")
    ours = [(r["centre"], r["mean"]) for r in found.to_pylist() if r["image_id"] == row["image_id"]]
    assert [mean for _, mean in ours] == row["block_means"]
    assert Grid().as_mask([block for block, (centre, _) in enumerate(ours) if centre]) == centre_half(Grid())


def test_an_output_with_hardly_anything_gives_empty_views_with_the_columns_of_the_schema(tmp_path):
    storage.write_json(str(tmp_path / "runs" / "one.json"), {"job": "prepare"})
    with connect(str(tmp_path), "all") as connection:
        for source in SOURCES:
            columns = columns_of(connection, source.name)
            assert list(columns) == source.columns.names
            assert set(source.stored.names) <= set(columns)
            assert rows_of(connection, f"SELECT count(*) FROM {source.name}") == [(0,)]
        assert columns_of(connection, "rank")["subset_scores"] == "FLOAT[]"
        assert columns_of(connection, "rank")["important_shapley"] == "USMALLINT"
        for name, wanted in TABLES.items():
            assert list(columns_of(connection, f"table_{name}")) == wanted.names
        assert rows_of(connection, "SELECT plcc(score, mos), srcc(score, mos), count(*) FROM rank") == [(None, None, 0)]
        assert rows_of(connection, "FROM unnest_subsets()") == []
        assert rows_of(connection, "FROM checkpoints") == []


def test_columns_and_types_are_the_same_with_and_without_rows(asked, tmp_path):
    storage.write_json(str(tmp_path / "runs" / "one.json"), {})
    with connect(str(tmp_path), "all") as empty:
        for view in [*(source.name for source in SOURCES), "runs", "checkpoints", "grid_blocks"]:
            assert columns_of(empty, view) == columns_of(asked, view), view


def test_names_and_keys_are_those_of_the_writers():
    keys = {source.name: source.key for source in SOURCES}
    assert (keys["measures"], keys["zeroed"]) == (MEASURES_KEY, ZEROED_KEY)
    alone = {"section2", "subset_statistics", "dataset_importance", "localisation", "carry_over"}
    written = {*alone, *experiments.PAGES}
    assert written == set(TABLES)


def small_run(output, key, created, count=10, seed=0, grid=SMALL, **metadata):
    rows, half = planted.rows(count, grid, seed)
    planted.write(output, rows, 2, key, grid, created=created, **metadata)
    return rows, half


def test_the_newest_run_is_shown_and_every_run_stands_in_all(tmp_path):
    for key, day in (("aaaaaaaa", 1), ("bbbbbbbb", 3), ("cccccccc", 2)):
        small_run(tmp_path, key, f"2026-03-0{day}T00:00:00+00:00", seed=day)
    small_run(tmp_path, "dddddddd", "2026-01-01T00:00:00+00:00", dataset="other")
    with connect(str(tmp_path), "all") as connection:
        shown = rows_of(connection, "SELECT DISTINCT dataset, run FROM rank ORDER BY 1")
        assert shown == [(name, find_run(str(tmp_path), name).key) for name in ("other", "planted")]
        assert shown[1] == ("planted", "bbbbbbbb")
        every = rows_of(connection, "SELECT DISTINCT run FROM rank_all WHERE dataset = 'planted' ORDER BY 1")
        assert [run for (run,) in every] == sorted(run.key for run in find_runs(str(tmp_path), "planted"))
        assert rows_of(connection, "SELECT count(*) FROM rank_all") == [(40,)]


def test_zeroed_rows_and_measures_are_those_made_for_the_rank_run_that_is_shown(tmp_path):
    """As the tables take them: a newer run that was made for another rank run is not mixed in."""
    rows, half = small_run(tmp_path, "bbbbbbbb", "2026-03-02T00:00:00+00:00")
    small_run(tmp_path, "aaaaaaaa", "2026-03-01T00:00:00+00:00", grid=Grid(2, 3))
    for key, rank_key, day in (("11111111", "bbbbbbbb", 3), ("22222222", "bbbbbbbb", 4), ("33333333", "aaaaaaaa", 5)):
        created = f"2026-03-0{day}T00:00:00+00:00"
        zeroed = planted_derived.zeroed(rows, half, SMALL)
        planted_derived.write_zeroed(tmp_path, zeroed, key=key, rank_key=rank_key, created=created)
        grid = SMALL if rank_key == "bbbbbbbb" else Grid(2, 3)
        means = planted_derived.means_of(np.full(10, 3), grid)
        measures = planted_derived.measures(rows, {"saliency": means}, grid)
        planted_derived.write_measures(tmp_path, measures, key, grid, created=created)
    run = find_run(str(tmp_path), "planted")
    (expected,) = read_zeroed(str(tmp_path), run, read_images(run))
    with connect(str(tmp_path), "all") as connection:
        assert rows_of(connection, "SELECT DISTINCT run FROM zeroed") == [(expected.key,)] == [("22222222",)]
        assert rows_of(connection, "SELECT DISTINCT run, blocks FROM measures") == [("22222222", 4)]
        for view in ("zeroed", "measures"):
            assert rows_of(connection, f"SELECT count(DISTINCT run) FROM {view}_all") == [(3,)]
        # Runs with other grids stand in one view.
        assert rows_of(connection, "SELECT DISTINCT len(block_means) FROM measures_all ORDER BY 1") == [(4,), (6,)]
        assert rows_of(connection, "SELECT DISTINCT len(subset_scores) FROM rank_all ORDER BY 1") == [(16,), (64,)]


def test_a_row_in_two_files_counts_once(tmp_path):
    rows, half = planted.rows(40, SMALL)
    doubled = pa.concat_tables([rows, rows.slice(5, 20), rows.slice(0, 3)])
    planted.write(tmp_path, doubled, 4, grid=SMALL)
    zeroed = planted_derived.zeroed(rows, half, SMALL)
    planted_derived.write_zeroed(tmp_path, pa.concat_tables([zeroed, zeroed.slice(3, 90)]), files=3)
    with connect(str(tmp_path), "all") as connection:
        found = connection.sql("FROM rank ORDER BY image_id").to_arrow_table()
        expected = rows.sort_by("image_id")
        assert found["image_id"].to_pylist() == expected["image_id"].to_pylist()
        assert found["subset_scores"].to_pylist() == expected["subset_scores"].to_pylist()
        columns = "image_id, ranking, zeroed_half, zeroed_blocks, score"
        stored = zeroed.select([name.strip() for name in columns.split(",")]).to_pylist()
        assert sorted(rows_of(connection, f"SELECT {columns} FROM zeroed"), key=str) == sorted(
            (tuple(row.values()) for row in stored), key=str
        )


def test_hidden_and_unfinished_files_are_never_read(tmp_path):
    rows, _ = small_run(tmp_path, "0123abcd", "2026-03-01T00:00:00+00:00")
    folder = tmp_path / "rank" / "dataset=planted" / "run=0123abcd"
    for name in (".part-9.parquet", "_part-9.parquet", ".part-9.parquet.5f", "part-9.parquet.tmp", "_old/part.parquet"):
        storage.write_bytes(str(folder / name), b"half a file")
    (tmp_path / "manifest" / "dataset=planted" / "_spatial_information").mkdir(parents=True)
    storage.write_bytes(str(tmp_path / "manifest" / "dataset=planted" / "_spatial_information" / "p.parquet"), b"x")
    with connect(str(tmp_path), "all") as connection:
        assert rows_of(connection, "SELECT count(*) FROM rank") == [(rows.num_rows,)]
        assert rows_of(connection, "SELECT count(*) FROM manifest") == [(0,)]


def test_a_damaged_file_is_named(tmp_path):
    small_run(tmp_path, "0123abcd", "2026-03-01T00:00:00+00:00")
    storage.write_bytes(str(tmp_path / "rank" / "dataset=planted" / "run=ffffffff" / "part-0.parquet"), b"half a file")
    with pytest.raises(ValueError, match=r"run=ffffffff/part-0\.parquet is not a readable Parquet file"):
        connect(str(tmp_path), "all")


def test_a_damaged_file_beside_a_whole_one_is_named(tmp_path):
    small_run(tmp_path, "0123abcd", "2026-03-01T00:00:00+00:00")
    whole = storage.list_files(str(tmp_path / "rank"), ".parquet", recursive=True)[0]
    storage.write_bytes(f"{whole.rsplit('/', 1)[0]}/zzz.parquet", storage.read_bytes(whole)[:-100])
    with pytest.raises(QueryError, match=r"zzz\.parquet"):
        connect(str(tmp_path), "all")


def test_tables_are_views(tmp_path):
    small_run(tmp_path, "0123abcd", "2026-03-01T00:00:00+00:00", 30)
    run = find_run(str(tmp_path), "planted")
    made = build.make_run_tables(run, "level_plcc", Resampling(20, 1))
    build.write_run_tables(str(tmp_path), made)
    storage.write_table(str(tmp_path / "tables" / 'it\'s "mine".parquet'), pa.table({"a": [1]}))
    with connect(str(tmp_path), "all") as connection:
        ours = rows_of(connection, "SELECT name, trivial FROM table_section2 WHERE scope = 'all' AND kind = 'rule'")
        stored = [r for r in made.section2.to_pylist() if r["scope"] == "all" and r["kind"] == "rule"]
        assert ours == [(row["name"], row["trivial"]) for row in stored]
        # The same by hand, from the stored scores.
        by_hand = rows_of(connection, "SELECT plcc(subset_score(subset_scores, important_shapley), score) FROM rank")
        assert by_hand[0][0] == pytest.approx(dict(ours)["shapley"], abs=1e-6)
        assert rows_of(connection, 'FROM "table_it\'s ""mine"""') == [(1,)]


def test_photos_without_scores_give_nulls(tmp_path):
    results.write(tmp_path, mos=False)
    with connect(str(tmp_path), "all") as connection:
        assert rows_of(
            connection,
            "SELECT dataset, plcc(score, mos), srcc(score, mos), avg(mos), count(mos) FROM rank GROUP BY 1 ORDER BY 1",
        ) == [("planted", None, None, None, 0), ("tiny", None, None, None, 0)]
        assert rows_of(connection, "SELECT dataset, split, n, plcc FROM checkpoints ORDER BY 1") == [
            ("planted", None, None, None),
            ("tiny", None, None, None),
        ]
        assert rows_of(connection, "SELECT DISTINCT mos FROM zeroed") == [(None,)]


def test_runs_are_the_records(asked, planted_output):
    found = asked.sql("FROM runs WHERE dataset = 'tiny' ORDER BY job").to_arrow_table().to_pylist()
    files = storage.list_files(str(planted_output[0] / "runs"))
    records = [storage.read_json(file) for file in files]
    ours = sorted((r for r in records if r["settings"]["data"]["dataset"] == "tiny"), key=lambda r: r["job"])
    assert [row["job"] for row in found] == ["rank", "zero"]
    for row, record in zip(found, ours, strict=True):
        assert row["run"] == record["run_key"][:8]
        assert row["started"].isoformat() + "+00:00" == record["started"]
        assert row["status"] == record["status"]
        assert row["seconds"] == record["seconds"]["all"]
        assert json.loads(row["settings"]) == record["settings"]
        assert json.loads(row["record"]) == record
        assert row["device"] == record.get("device")
    assert found[1]["status"] == "failed: ValueError: no checkpoint"
    assert rows_of(asked, "SELECT (counts->>'$.out')::BIGINT FROM runs WHERE job = 'rank' ORDER BY dataset") == [
        (results.PHOTOS["planted"],),
        (results.PHOTOS["tiny"],),
    ]
    assert rows_of(asked, "SELECT DISTINCT settings->>'$.rank.rule' FROM runs") == [("level_plcc",)]


def test_checkpoints_are_the_records(asked, planted_output):
    record = storage.read_json(str(planted_output[0] / "checkpoints" / "planted" / "triq" / "default" / "model.json"))
    test = record["metrics"]["test"]
    numbers = test["n"], test["plcc"], test["srcc_interval"][0], test["rmse_interval"][1]
    columns = "model, run, split, n, plcc, srcc_low, rmse_high, epoch, synthetic"
    assert rows_of(asked, f"SELECT {columns} FROM checkpoints LIMIT 1") == [
        ("triq", "default", "test", *numbers, record["epoch"], True)
    ]


def test_a_record_that_is_no_json_is_a_row_that_says_so(tmp_path):
    storage.write_text(str(tmp_path / "runs" / "rank-1.json"), '{"job": "rank", ')
    storage.write_text(str(tmp_path / "checkpoints" / "d" / "triq" / "r" / "model.json"), "")
    with connect(str(tmp_path), "all") as connection:
        assert rows_of(connection, "SELECT file, status, job FROM runs") == [
            ("runs/rank-1.json", "unreadable: no JSON", None)
        ]
        assert rows_of(connection, "SELECT dataset, model, run, status, plcc FROM checkpoints") == [
            ("d", "triq", "r", "unreadable: no JSON", None)
        ]


def test_no_output_is_an_error(tmp_path):
    for output in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(QueryError, match=r"no results in .*--output"):
            connect(str(output), "all")


def test_without_duckdb_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(QueryError, match=r"pip install 'halfiqa_ray\[query\]'"):
        connect(str(tmp_path), "all")


def test_vectors_that_are_not_asked_for_are_not_read(tmp_path, monkeypatch):
    rows, _ = planted.rows(200, Grid(3, 4))
    (path,) = planted.write(tmp_path, rows, 1)
    size = (tmp_path / path).stat().st_size
    read = counted_bytes(monkeypatch)
    with connect(str(tmp_path), "all") as connection:
        for sql in (
            "SELECT split, plcc(score, mos), count(*) FROM rank GROUP BY split",
            "SELECT image_id, score FROM rank WHERE important_shapley & 1 = 1 ORDER BY score LIMIT 5",
            "SELECT count(*) FROM rank",
        ):
            rows_of(connection, sql)
        assert sum(read) < size / 20
        read.clear()
        rows_of(connection, "SELECT max(subset_scores[1]) FROM rank")
        assert size / 3 < sum(read) < size * 0.9  # the scores, and not level_plcc


REFUSED = [
    "COPY (SELECT 1) TO '{folder}/new.csv'",
    "COPY rank TO '{folder}/new.parquet'",
    "COPY rank TO 'stored://rank/new.parquet'",
    "COPY rank TO '{file}'",
    "COPY rank TO '{file}' (USE_TMP_FILE false)",
    "COPY rank TO '{file}' (OVERWRITE true, USE_TMP_FILE false)",
    "COPY rank TO 'stored://rank' (FORMAT parquet, PARTITION_BY (dataset), OVERWRITE true)",
    "EXPORT DATABASE '{folder}/export'",
    "ATTACH '{folder}/new.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '/tmp/x.duckdb_extension'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{folder}/rank/*/*/*.parquet')",
    "SELECT * FROM read_json('{folder}/runs/*.json')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('https://example.com/a.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "SELECT * FROM read_parquet('stored://../outside.parquet')",
    "SELECT * FROM read_text('stored://runs/secret.json')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "SELECT getenv('HOME')",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET lock_configuration = false",
    "SET temp_directory = '/'",
    "SET python_enable_replacements = true",
    "SELECT * FROM a_python_variable",
    "CALL enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "PRAGMA profiling_output = '{folder}/profile'",
    "UPDATE rank SET score = 0",
    "DELETE FROM rank",
    "INSERT INTO rank (image_id) VALUES ('x')",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_sql_writes_nothing_and_reads_nothing_else(planted_output, asked, sql):
    import duckdb

    a_python_variable = pa.table({"a": [1]})  # noqa: F841
    output = planted_output[0]
    before = contents(output.parent)
    file = storage.list_files(str(output / "rank"), ".parquet", recursive=True)[0]
    told = sql.format(folder=output, file=f"stored://{file[len(str(output)) + 1 :]}")
    with pytest.raises((duckdb.Error, PermissionError)):
        asked.sql(told).fetchall()
    assert contents(output.parent) == before


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_results_too_large_for_memory_go_to_a_folder_that_is_removed(planted_output, tmp_path, monkeypatch):
    import duckdb

    real = duckdb.connect
    small = {"memory_limit": "100MB"}
    monkeypatch.setattr(duckdb, "connect", lambda name, config: real(name, config=config | small))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with connect(str(planted_output[0]), "all") as connection:
        connection.execute("CREATE TABLE large AS SELECT range AS i, hash(range) AS h FROM range(10_000_000)")
        assert rows_of(connection, "SELECT count(DISTINCT i) FROM large WHERE i % 1000 = 0") == [(10_000,)]
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith("halfiqa_ray-query-")
    assert list(tmp_path.iterdir()) == []


def test_an_output_in_an_object_store(planted_output, bucket):
    output, expected = planted_output
    for file in storage.list_files(str(output), recursive=True):
        storage.write_bytes(f"{bucket}/some/results/{file[len(str(output)) + 1 :]}", storage.read_bytes(file))
    with connect(f"{bucket}/some/results", "all") as connection:
        found = connection.sql("FROM rank WHERE dataset = 'tiny' ORDER BY image_id").to_arrow_table()
        stored = expected["tiny"].sort_by("image_id")
        assert found["image_id"].to_pylist() == stored["image_id"].to_pylist()
        assert found["subset_scores"].to_pylist() == vectors(stored["subset_scores"]).tolist()
        assert rows_of(connection, "SELECT count(*) FROM runs") == [(4,)]
        assert rows_of(connection, "SELECT count(DISTINCT model) FROM zeroed") == [(2,)]
    with pytest.raises(QueryError, match="no results in s3://"):
        connect(f"{bucket}/other", "all")


def test_several_data_sets_are_never_mixed_unasked(planted_output):
    output = str(planted_output[0])
    with pytest.raises(QueryError, match=r"planted, tiny.*--dataset all"):
        connect(output)
    with pytest.raises(QueryError, match="nothing of data set 'other'; it has planted, tiny"):
        connect(output, "other")
    with connect(output, "all") as both, connect(output, "tiny") as one:
        for view in ("manifest", "rank", "rank_all", "measures", "zeroed", "table_section2"):
            every = rows_of(both, f"SELECT dataset, count(*) FROM {view} GROUP BY 1")
            assert rows_of(one, f"SELECT dataset, count(*) FROM {view} GROUP BY 1") == [
                row for row in every if row[0] == "tiny"
            ]


def test_zeroed_files_of_before_there_were_fills(tmp_path):
    """Alone, and beside files of today in the same run; a row that stands in both counts once."""
    rows, half = planted.rows(20, SMALL)
    planted.write(tmp_path, rows, grid=SMALL)
    zeroed = planted_derived.zeroed(rows, half, SMALL, rankings=("level_plcc",))
    older = zeroed.drop_columns(["fill"])
    planted_derived.write_zeroed(tmp_path, older)
    question = "SELECT fill, zeroed_half, count(*), sum(score) FROM zeroed GROUP BY ALL ORDER BY ALL"
    images = zeroed.num_rows // 3
    counted = [("none", "none", images), ("zero", "important", images), ("zero", "trivial", images)]
    with connect(str(tmp_path)) as connection:
        alone = rows_of(connection, question)
        assert [row[:3] for row in alone] == counted
    blurred = planted_derived.zeroed(rows, half, SMALL, rankings=("level_plcc",), fill="blur", seed=4)
    blurred = blurred.filter(pa.array([r is not None for r in blurred["ranking"].to_pylist()]))
    [folder] = (tmp_path / "zeroed" / "dataset=planted" / "model=triq").iterdir()
    facts = storage.read_schema(str(folder / "part-0.parquet")).metadata
    for name, some in (("part-8", blurred), ("part-9", zeroed.slice(0, 9))):
        storage.write_table(str(folder / f"{name}.parquet"), some.replace_schema_metadata(facts))
    with connect(str(tmp_path)) as connection:
        both = rows_of(connection, question)
        assert [row[:3] for row in both if row[0] == "blur"] == [
            ("blur", "important", images),
            ("blur", "trivial", images),
        ]
        assert [row[:3] for row in both if row[0] != "blur"] == counted
        assert [row[3] for row in both if row[0] != "blur"] == pytest.approx([row[3] for row in alone])
        assert rows_of(connection, "SELECT DISTINCT model FROM zeroed_all") == [("triq",)]
