"""`halfiqa look` from its arguments to what it prints and writes."""

import io
import re
from pathlib import Path

import numpy as np
import pytest

import halfiqa_ray as hq
from halfiqa_ray.looking import command
from halfiqa_ray.looking.arguments import RULES, make_parser
from halfiqa_ray.models.checkpoints import CheckpointError
from halfiqa_ray.report.page.packing import STEPS
from halfiqa_ray.schema import IMAGE_RULES
from tests.report.page.test_photos import restored
from tests.report.pages import Parsed
from tests.stages.test_subsets import write_checkpoint, write_photos


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    write_photos(tmp_path / "photos", 2)
    return tmp_path / "photos"


def run(checkpoint, *words):
    given = make_parser("halfiqa look").parse_args([*map(str, words), "--model", checkpoint, "--rows=2", "--columns=3"])
    return command.run(given)


def test_photos_are_drawn(checkpoint, photos, capsys):
    assert run(checkpoint, photos) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for name in ("0.png", "1.png"):
        seen = hq.look(checkpoint, photos / name, rows=2, columns=3)
        assert str(photos / name) in said.out
        assert f"{seen.score:.3f}" in said.out
        assert f"{seen.trivial_score:.3f}" in said.out


def test_what_cannot_be_read_is_named_and_the_others_go_on(checkpoint, photos, capsys, monkeypatch):
    (photos / "1.png").write_bytes(b"no photo")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos}/gone.png\n{photos}/0.png\n"))
    assert run(checkpoint, photos / "1.png", f"{photos}/*.gif", "-", "--short") == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert said.out.endswith("0.png\n")
    for name in ("1.png", "*.gif", "gone.png"):
        assert f"{photos}/{name}" in said.err
    assert "3 of 4 could not be read" in said.err


def test_without_any_photo_the_exit_code_says_so(checkpoint, photos, capsys):
    assert run(checkpoint, photos / "gone.png", "--output", photos / "page.html") == 2
    assert not (photos / "page.html").exists()


def test_the_page_holds_every_photo_and_all_scores(checkpoint, photos, capsys):
    (photos / "2.png").write_bytes(b"no photo")
    file = photos / "page.html"
    assert run(checkpoint, photos, "--output", file) == 1
    assert str(file) in capsys.readouterr().err
    parsed = Parsed(file.read_text("utf-8"))
    assert [photo["name"] for photo in parsed.data()["photos"]] == [f"{photos}/0.png", f"{photos}/1.png"]
    assert "2.png: not a picture" in parsed.text
    for number in range(2):
        seen = hq.look(checkpoint, photos / f"{number}.png", rows=2, columns=3)
        photo = parsed.photo(number)
        step = (photo["high"] - photo["low"]) / STEPS
        assert np.allclose(restored(photo), seen.scores, atol=step)
        assert photo["halves"] == seen.halves
        assert np.allclose(photo["shapley"], seen.shapley, rtol=1e-5)
    # The explorer's script finds every element that it asks for.
    script = parsed.scripts["page"]
    wanted = set(re.findall(r'(?:getElementById|#element)\("([\w-]+)"\)', script))
    assert len(wanted) > 20
    assert wanted <= set(parsed.values("id"))
    assert not [value for value in parsed.values("src") + parsed.values("href") if "//" in value]


def test_the_browser_is_opened_on_the_page(checkpoint, photos, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", lambda uri: bool(opened.append(uri)))
    assert run(checkpoint, photos, "--open") == 0
    (uri,) = opened
    assert "explorer" in Path(uri.removeprefix("file://")).read_text("utf-8")
    assert "no browser" in capsys.readouterr().err


def test_a_model_that_cannot_be_asked_is_refused_before_any_photo(photos, tmp_path):
    with pytest.raises(CheckpointError, match="nothing/here"):
        run("nothing/here", photos)
    other = write_checkpoint(tmp_path / "other")
    with pytest.raises(ValueError, match="at most 16"):
        command.run(make_parser("look").parse_args(["x.jpg", "--model", other, "--rows", "9", "--columns", "9"]))


def test_the_rules_of_the_command_line_are_those_that_there_are():
    assert RULES == IMAGE_RULES
