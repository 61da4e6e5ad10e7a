"""What words of a command line stand for."""

from pathlib import Path

import pytest

from halfiqa_ray.looking.names import NoPhotos, photo_names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("trip/a.jpg", "trip/day two/b.PNG", "trip/notes.txt", "trip/.hidden.jpg", "odd[1].jpg", "empty/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def names(*words, lines=()):
    return list(photo_names(words, lines))


def test_folders_files_and_patterns(folder):
    assert names("trip") == ["trip/a.jpg", "trip/day two/b.PNG"]
    assert names("trip/notes.txt") == ["trip/notes.txt"]  # whoever names a file means it
    assert names("trip/*.jpg") == ["trip/a.jpg"]
    assert names("tri?") == ["trip/a.jpg", "trip/day two/b.PNG"]
    assert names("**/*.PNG") == ["trip/day two/b.PNG"]
    assert names("odd[1].jpg") == ["odd[1].jpg"]  # a file first, a pattern after
    assert names(str(Path("trip/*.jpg").resolve())) == [str(Path("trip/a.jpg").resolve())]
    assert names("https://example.org/a.jpg?x=1*") == ["https://example.org/a.jpg?x=1*"]


def test_each_photo_once_in_the_order_of_the_words(folder):
    assert names("trip/day two", "trip", "trip/a.jpg") == ["trip/day two/b.PNG", "trip/a.jpg"]


def test_names_on_standard_input(folder):
    lines = ["trip/day two/b.PNG\n", "\n", "gone.jpg\r\n", "trip"]
    assert names("odd[1].jpg", "-", lines=lines) == ["odd[1].jpg", "trip/day two/b.PNG", "gone.jpg", "trip/a.jpg"]


@pytest.mark.parametrize(("word", "why"), [("empty", "no photo"), ("*.gif", "no file"), ("no/**/*.jpg", "no file")])
def test_what_stands_for_nothing_is_said_and_the_others_go_on(folder, word, why):
    problem, photo = names(word, "trip/a.jpg")
    assert isinstance(problem, NoPhotos)
    assert why in str(problem)
    assert word in str(problem)
    assert photo == "trip/a.jpg"
