"""Photos that end the process that works on them, without processes: a death is an exception that nothing catches."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray import storage
from halfiqa_ray.stages.watched import KILLED, TRIES, TooManyKilled, Watched, forget, forgive, retry


class Death(BaseException):
    """Nothing after it is run."""


class Poisoned:
    """A stage that dies at some photos, unless they come as failed; counts how often."""

    def __init__(self, poison=()):
        self.poison, self.deaths, self.calls = set(poison), 0, []

    def __call__(self, rows):
        there = [
            i for i, error in zip(rows["image_id"].to_pylist(), rows["error"].to_pylist(), strict=True) if not error
        ]
        self.calls.append(there)
        if self.poison & set(there):
            self.deaths += 1
            raise Death
        return rows.drop_columns(["pixels"])


def table(ids):
    return pa.table(
        {
            "image_id": ids,
            "uri": [f"/photos/{i}" for i in ids],
            "pixels": pa.array([b"x"] * len(ids), pa.large_binary()),
            "error": pa.nulls(len(ids), pa.string()),
            "message": pa.nulls(len(ids), pa.string()),
        }
    )


def marked(folder):
    """The images of all marks."""
    return {i for file in folder.glob("*.json") for i in json.loads(file.read_text())["image_ids"]}


def worked_on(stage, folder, rows, most=20):
    """As Ray does it: the same photos again and again, until a process survives them."""
    while True:
        try:
            return Watched(stage, str(folder), most)(rows)
        except Death:
            assert stage.deaths < 100


def errors_of(result):
    return {row["image_id"]: row["error"] for row in result.to_pylist() if row["error"]}


def test_without_a_death_photos_are_worked_on_together_and_no_mark_is_left(tmp_path):
    stage = Poisoned()
    assert worked_on(stage, tmp_path, table(list("abc")))["image_id"].to_pylist() == list("abc")
    assert stage.calls == [list("abc")]
    assert not marked(tmp_path)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text("abcdefghij/\n é", min_size=1, max_size=6), min_size=1, max_size=12, unique=True), st.data())
def test_exactly_the_photos_that_kill_become_errors_and_the_deaths_are_bounded(tmp_path_factory, ids, data):
    poison = data.draw(st.sets(st.sampled_from(ids), max_size=3))
    stage, folder = Poisoned(poison), tmp_path_factory.mktemp("marks")
    result = worked_on(stage, folder, table(ids))
    assert result["image_id"].to_pylist() == ids
    assert errors_of(result) == dict.fromkeys(poison, KILLED)
    assert stage.deaths == (bool(poison) and len(ids) > 1) + TRIES * len(poison)
    assert marked(folder) == poison


def test_the_next_run_finds_what_a_killed_run_was_working_on(tmp_path):
    """Other blocks than before: the suspects are alone, the others together, and all in their order."""
    stage = Poisoned({"c"})
    with pytest.raises(Death):
        Watched(stage, str(tmp_path), 20)(table(list("bcd")))
    assert marked(tmp_path) == set("bcd")
    stage = Poisoned({"c"})
    result = worked_on(stage, tmp_path, table(list("abcxyz")))
    assert result["image_id"].to_pylist() == list("abcxyz")
    assert errors_of(result) == {"c": KILLED}
    assert ["x", "y", "z"] in stage.calls
    assert stage.deaths == TRIES
    assert forget(str(tmp_path), {"c"})
    assert marked(tmp_path) == {"c"}


def test_a_death_among_those_that_were_no_suspects(tmp_path):
    first = Poisoned({"a"})
    with pytest.raises(Death):
        Watched(first, str(tmp_path), 20)(table(["a", "b"]))
    stage = Poisoned({"a", "y"})
    result = worked_on(stage, tmp_path, table(["a", "x", "y", "z"]))
    assert errors_of(result) == {"a": KILLED, "y": KILLED}


def test_a_photo_that_was_given_up_gets_one_more_try_in_the_next_run(tmp_path):
    worked_on(Poisoned({"b"}), tmp_path, table(list("ab")))
    forget(str(tmp_path), {"b"})
    again = Poisoned({"b"})
    assert errors_of(worked_on(again, tmp_path, table(["b", "c"]))) == {"b": KILLED}
    assert again.deaths == 1
    forget(str(tmp_path), {"b"})
    mended = Poisoned()
    assert errors_of(worked_on(mended, tmp_path, table(["b"]))) == {}
    assert not forget(str(tmp_path), set())
    assert not storage.exists(str(tmp_path))


def test_when_everything_kills_it_is_not_the_photos(tmp_path):
    ids = [str(i) for i in range(10)]
    with pytest.raises(TooManyKilled, match=r"4 photos .* more than the 3 of compute\.killed_photos"):
        worked_on(Poisoned(ids), tmp_path, table(ids), most=3)


def test_photos_that_failed_before_stay_as_they_are(tmp_path):
    rows = table(["a", "b"])
    rows = rows.set_column(3, "error", pa.array(["broken", None]))
    assert errors_of(worked_on(Poisoned({"b"}), tmp_path, rows)) == {"a": "broken", "b": KILLED}


def test_too_many_killed_is_mended_by_what_it_advises(tmp_path):
    ids = [str(i) for i in range(4)]
    with pytest.raises(TooManyKilled):
        worked_on(Poisoned(ids), tmp_path, table(ids), most=3)
    retry(str(tmp_path))
    assert errors_of(worked_on(Poisoned(), tmp_path, table(ids), most=3)) == {}


def test_photos_in_flight_when_a_job_is_stopped_are_not_to_blame(tmp_path):
    """However often, and though each was alone."""
    for _ in range(TRIES + 1):
        with pytest.raises(Death):
            Watched(Poisoned({"a"}), str(tmp_path), 20)(table(["a"]))
        forgive(str(tmp_path))
    assert errors_of(worked_on(Poisoned(), tmp_path, table(["a"]))) == {}


def test_a_photo_that_was_given_up_stays_so_when_a_job_is_stopped(tmp_path):
    worked_on(Poisoned({"a"}), tmp_path, table(["a"]))
    forgive(str(tmp_path))
    stage = Poisoned({"a"})
    assert errors_of(worked_on(stage, tmp_path, table(["a"]))) == {"a": KILLED}
    assert stage.deaths == 0
