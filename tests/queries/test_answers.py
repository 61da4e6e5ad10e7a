"""Answers in every format, and the job around them."""

import csv
import io
import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import storage
from halfiqa_ray.queries.answers import FORMATS, answer, describe, help_text
from halfiqa_ray.queries.ask import run
from halfiqa_ray.queries.connection import QueryError
from halfiqa_ray.queries.macros import MACROS, TABLE_MACROS
from halfiqa_ray.queries.sources import SOURCES
from halfiqa_ray.tables.stored.reading import vectors

ODD = """SELECT 1 AS a, 2 AS a, 'x,"y"' AS text, [1.5, 2.5]::FLOAT[] AS list, 'nan'::DOUBLE AS nan, NULL AS nothing,
    sum(range) AS whole, 1.25::DECIMAL(5, 2) AS part, TIMESTAMP '2026-01-02 03:04:05' AS time, true AS yes,
    {'k': [1]} AS struct, [NULL, 'inf'::DOUBLE] AS odd FROM range(4)"""


def test_csv_is_what_csv_readers_expect(asked):
    (row,) = csv.DictReader(io.StringIO(answer(asked, ODD, "csv")))
    assert row == {
        "a": "1",
        "a_1": "2",
        "text": 'x,"y"',
        "list": "[1.5, 2.5]",
        "nan": "nan",
        "nothing": "",
        "whole": "6",
        "part": "1.25",
        "time": "2026-01-02 03:04:05",
        "yes": "true",
        "struct": "{'k': [1]}",
        "odd": "[NULL, inf]",
    }


def test_json_is_strict_json(asked):
    def no_constants(name):
        raise AssertionError(name)

    (row,) = json.loads(answer(asked, ODD, "json"), parse_constant=no_constants)
    assert row == {
        "a": 1,
        "a_1": 2,
        "text": 'x,"y"',
        "list": [1.5, 2.5],
        "nan": None,
        "nothing": None,
        "whole": 6,
        "part": 1.25,
        "time": "2026-01-02 03:04:05",
        "yes": True,
        "struct": {"k": [1]},
        "odd": [None, None],
    }
    assert json.loads(answer(asked, "SELECT 1 AS a WHERE false", "json")) == []


def test_a_table_shows_names_types_and_values(asked):
    text = answer(asked, "SELECT dataset, count(*) AS photos FROM rank GROUP BY 1 ORDER BY 1", "table")
    assert [cell.strip() for cell in text.splitlines()[1].strip("│").split("│")] == ["dataset", "photos"]
    assert "planted" in text.splitlines()[4]
    assert "48" in text.splitlines()[4]


def test_parquet_keeps_values_and_types(asked, planted_output, tmp_path):
    file = str(tmp_path / "folder" / "answer.parquet")
    sql = "SELECT image_id, subset_scores, important_shapley FROM rank WHERE dataset = 'tiny' ORDER BY image_id"
    assert answer(asked, sql, "parquet", file) == f"written to {file}"
    found, stored = storage.read_table(file), planted_output[1]["tiny"].sort_by("image_id")
    assert found.schema.types == [pa.string(), pa.list_(pa.float32()), pa.uint16()]
    assert found["image_id"].to_pylist() == stored["image_id"].to_pylist()
    scores = np.stack(found["subset_scores"].to_pylist()).astype(np.float32)
    np.testing.assert_array_equal(scores, vectors(stored["subset_scores"]))


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_files_hold_what_would_be_printed(asked, tmp_path, form):
    file = str(tmp_path / "answer")
    sql = "SELECT image_id, score FROM rank ORDER BY ALL LIMIT 3"
    answer(asked, sql, form, file)
    assert storage.read_bytes(file).decode() == answer(asked, sql, form) + "\n"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM ranks", 'Did you mean "rank"'),
        ("SELECT scor FROM rank", "scor"),
        ("SELEC 1", "syntax error"),
        ("SELECT 'a'::INT", "Could not convert"),
        ("", "no result"),
        ("-- nothing", "no result"),
        ("COPY rank TO '/tmp/x.csv'", "disabled by configuration"),
    ],
)
def test_wrong_sql_is_told_in_duckdbs_words(asked, sql, said):
    with pytest.raises(QueryError, match=said):
        answer(asked, sql, "csv")


def test_the_last_of_several_statements_is_shown(asked):
    sql = "CREATE TEMP TABLE three AS FROM range(3); SELECT count(*) AS n FROM three"
    assert answer(asked, sql, "csv") == '"n"\n3'


def test_every_view_is_described_with_rows_runs_and_columns(asked):
    text = describe(asked)
    assert "rank: 68 rows" in text
    assert "runs: planted 0123abcd, tiny 00112233" in text
    for name, kind, *_ in asked.sql("DESCRIBE rank").fetchall():
        assert f"{name} {kind}" in " ".join(text.split())
    assert "table_section2: 0 rows" in text


def test_help_names_every_view_and_function():
    text = help_text()
    for name in (*(source.name for source in SOURCES), "runs", "checkpoints", "grid_blocks"):
        assert f"\n  {name} " in text
    for macro in (*MACROS, *TABLE_MACROS):
        assert f"\n  {macro.call}\n" in text


@pytest.fixture
def job(monkeypatch, capsys, planted_output):
    def ask(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            code = run(arguments)
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return ask


def test_the_job_answers(job, planted_output, tmp_path):
    output = ["--output", str(planted_output[0])]
    sql = "SELECT count(*) AS n FROM rank"
    assert job(sql, *output, "--format", "csv") == (0, '"n"\n68\n', "")
    assert job("-", *output, "--format", "csv", stdin=sql) == (0, '"n"\n68\n', "")
    config = tmp_path / "c.yaml"
    config.write_text(f"output: {planted_output[0]}\nrank:\n  grid:\n    rows: 2\n")
    assert job(sql, "--config", str(config), "--format", "csv")[:2] == (0, '"n"\n68\n')
    code, out, _ = job("--list", *output)
    assert code == 0
    assert "rank: 68 rows" in out
    file = tmp_path / "n.json"
    assert job(sql, *output, "--format", "json", "--file", str(file))[0] == 0
    assert json.loads(file.read_text()) == [{"n": 68}]


def test_the_job_says_what_is_wrong_in_one_line(job, planted_output, tmp_path):
    code, out, err = job("SELECT 1", "--output", str(tmp_path / "nowhere"))
    assert (code, out) == (2, "")
    assert err.startswith("query.py: no results in")
    code, _, err = job("SELECT 1", "--format", "parquet", "--output", str(planted_output[0]))
    assert code == 2
    assert "--file" in err
    assert job()[0] == job("SELECT 1", "--list")[0] == 2
    code, out, _ = job("--help")
    assert code == 0
    assert "subset_score(subset_scores, mask)" in out
    assert set(FORMATS) <= set(out.replace(",", " ").replace("{", " ").replace("}", " ").split())
