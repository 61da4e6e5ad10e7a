"""Whatever a terminal is like, a job ends as it would have ended, and data keep their letters."""

import codecs
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halfiqa_ray import terminal
from halfiqa_ray.queries.answers import FORMATS
from tests.data.photo_files import jpeg

ROOT = Path(__file__).parents[1]
NAMES = ("写真.jpg", "fehlt-Übung.jpg", "plain.jpg")
ENCODINGS = ({"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}, {"PYTHONIOENCODING": "cp1252:strict"})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("letters") / "in"
    root.mkdir()
    for number, name in enumerate((NAMES[0], NAMES[2])):
        (root / name).write_bytes(jpeg(number))
    (root / "leer-é.jpg").write_bytes(b"")
    lines = ["img_name,mos", *(f"{name},{10 * number + 10}" for number, name in enumerate(NAMES))]
    (root / "meta_info_x.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def job(name, *words, variables=None, shell=""):
    command = [sys.executable, f"jobs/{name}.py", *map(str, words)]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    environment = {
        each: value for each, value in os.environ.items() if each not in ("PYTHONIOENCODING", "LC_ALL", "LANG")
    }
    ran = subprocess.run(
        command,
        capture_output=True,
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)} | (variables or {}),
        timeout=250,
    )
    assert b"Traceback" not in ran.stderr, ran.stderr.decode(errors="replace")
    return ran


def prepare(data, output, **more):
    flags = ["--data.layout", "pyiqa", "--data.root", data, "--data.split", "none", "--output", output]
    return job("prepare", *flags, **more)


def rows(output):
    import pyarrow.parquet as pq

    [file] = output.glob("manifest/*/manifest.parquet")
    return pq.ParquetFile(file).read().to_pylist()


@pytest.mark.parametrize("variables", ENCODINGS)
def test_letters_that_cannot_be_shown(data, tmp_path, variables):
    ran = prepare(data, tmp_path, variables=variables)
    assert ran.returncode == 0, ran.stderr
    assert {row["image_id"] for row in rows(tmp_path)} >= {"写真.jpg", "plain.jpg"}
    said = ran.stdout.decode("cp1252" if "cp1252" in str(variables) else "ascii")
    assert "bung.jpg" in said


@pytest.mark.parametrize("shell", [">&- 2>&- <&-", "2>&1 | true", "| head -n 1", "> /dev/full"])
def test_nobody_listens(data, tmp_path, shell):
    """Closed streams, pipes whose reader has ended: the manifest is written. Not so on a full disk, which is said."""
    ran = prepare(data, tmp_path, shell=shell + ("; exit ${PIPESTATUS[0]}" if "|" in shell else ""))
    if shell == "> /dev/full":
        assert ran.returncode == 2
        assert b"No space left" in ran.stderr
        return
    assert ran.returncode == 0, ran.stderr
    assert len(rows(tmp_path)) >= 2


def test_answers_in_any_encoding(data, tmp_path):
    """A table is drawn with what there is; CSV and JSON in a pipe are UTF-8."""
    pytest.importorskip("duckdb")
    assert prepare(data, tmp_path).returncode == 0
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    sql = "SELECT image_id FROM manifest WHERE mos = 10"
    told = {
        form: job("query", "--output", tmp_path, sql, "--format", form, variables=ascii_only) for form in FORMATS[:3]
    }
    assert all(ran.returncode == 0 for ran in told.values())
    table = told["table"].stdout.decode("ascii")
    assert "\\u5199\\u771f.jpg" in table
    assert "+---" in table
    assert json.loads(told["json"].stdout.decode()) == [{"image_id": "写真.jpg"}]
    assert "写真.jpg" in told["csv"].stdout.decode()
    assert job("query", "--output", tmp_path, "--list", variables=ascii_only).stdout.decode("ascii")
    asked = "SELECT image_id FROM manifest WHERE image_id = '写真.jpg'"
    (tmp_path / "question.sql").write_text(asked, encoding="utf-8")
    given = job(
        "query", "--output", tmp_path, "-", "--format", "csv", variables=ascii_only, shell=f"< {tmp_path}/question.sql"
    )
    assert "写真.jpg" in given.stdout.decode()


def test_what_stands_for_what():
    codecs.register_error(terminal.HANDLER, terminal._look_alike)
    assert "┌─┐│×é写🙂\udce9".encode("ascii", terminal.HANDLER) == rb"+-+|x\xe9\u5199\U0001f642\udce9"
    assert "é×写".encode("latin-1", terminal.HANDLER) == b"\xe9\xd7\\u5199"
    assert all(len(chr(one)) == len(like) for one, like in terminal.LOOKS.items() if chr(one) in "─│┌┐└┘├┤┬┴┼╭╮╰╯")


def test_a_notebook_keeps_its_streams(monkeypatch):
    import io

    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    terminal.prepare()
    assert sys.stdout is own


def test_windows_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        terminal.prepare()
    assert ended.value.code == 2
    assert "WSL" in capsys.readouterr().err
