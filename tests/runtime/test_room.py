"""A private session finds a place for its files, and says when the shell allows it too little."""

import os
import resource
from pathlib import Path

import pytest

from halfiqa_ray import machine
from halfiqa_ray.runtime import room
from halfiqa_ray.runtime.address import ClusterError


@pytest.fixture
def temporary(monkeypatch):
    """A function that sets TMPDIR, without RAY_TMPDIR."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(room.sys, "platform", "linux")
    return lambda path: monkeypatch.setenv("TMPDIR", str(path))


def test_where_ray_would_go_is_good(temporary):
    temporary("/tmp")
    assert room._unusable(Path("/tmp/ray-of-nobody")) is None
    longest = room.MOST_PATH - room.BELOW
    assert room._unusable(Path("/tmp/" + "x" * (longest - 5))) is None
    assert "too long" in room._unusable(Path("/tmp/" + "x" * (longest - 4)))
    assert "too long" in room._unusable(Path("/tmp/" + "é" * (longest // 2)))  # bytes count, not letters


def test_a_long_folder_is_left_for_a_short_one(temporary, tmp_path, capsys):
    """Batch systems and macOS have long ones; the path of a socket may have 107 bytes."""
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    temporary(deep)
    made = room.folder()
    said = capsys.readouterr().out
    assert len(made) + room.BELOW <= room.MOST_PATH
    assert Path(made).stat().st_mode & 0o77 == 0
    assert (
        said == f"note: Ray's files are in {made} while the job runs: {deep}/ray is too long a path for its sockets\n"
    )
    room.leave(made)
    assert not Path(made).exists()


def test_a_folder_that_is_not_there_or_not_ours(temporary, tmp_path, monkeypatch, capsys):
    """Missing: Ray makes it. Not to be written, or another user's from before: another one is taken."""
    temporary(tmp_path / "new")
    monkeypatch.setattr(room, "MOST_PATH", 10**6)
    assert room.folder() is None
    (tmp_path / "file").write_text("")
    temporary(tmp_path / "file" / "below")
    made = room.folder()
    assert made is not None
    room.leave(made)
    theirs = tmp_path / "theirs" / "ray"
    theirs.mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != theirs and real(path, mode))
    temporary(theirs.parent)
    made = room.folder()
    assert f"{theirs} cannot be written by this user" in capsys.readouterr().out
    room.leave(made)
    monkeypatch.setattr(room, "PLACES", ("/proc/none",))
    with pytest.raises(ClusterError, match="set RAY_TMPDIR to a short path"):
        room.folder()


@pytest.mark.parametrize("name", room.LEAST)
def test_a_limit_that_is_too_low_is_named(monkeypatch, name):
    least, _, command = room.LEAST[name]
    kind, limit = getattr(resource, f"RLIMIT_{name}"), [least - 1]
    real = resource.getrlimit
    monkeypatch.setattr(resource, "getrlimit", lambda of: (limit[0], limit[0]) if of == kind else real(of))
    monkeypatch.setattr(machine, "is_privileged", lambda: False)
    with pytest.raises(ClusterError, match=command):
        room.check_limits()
    limit[0] = least
    room.check_limits()
    limit[0] = resource.RLIM_INFINITY
    room.check_limits()


def test_a_session_that_does_not_start_is_one_line(monkeypatch, tmp_path):
    """Whatever Ray raises; and the folder that was made for it goes."""
    import ray

    from halfiqa_ray.config import Settings
    from halfiqa_ray.runtime import session

    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.room, "folder", lambda: str(made))

    def fails(*_, **told):
        assert told["_temp_dir"] == str(made)
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(ray, "init", fails)
    match = r"does not start .* timed out during startup\. .*ulimit -n"
    with pytest.raises(ClusterError, match=match) as raised, session.ray_session(Settings()):
        pass
    assert "\n" not in str(raised.value)
    assert not made.exists()
