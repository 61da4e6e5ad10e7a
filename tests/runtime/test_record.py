"""Run records: how a run ended, and what its stages took."""

import os
import signal
import threading

import pytest

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.runtime.record import STOPPED, RunRecord, stops_are_recorded


@pytest.fixture
def record(tmp_path):
    return RunRecord.of(Settings(output=str(tmp_path)), "rank", "0" * 64)


def stored(record):
    return storage.read_json(record.uri)


def test_a_run_that_ends_says_so(record):
    with record:
        assert stored(record)["status"] == "running"
        record.note(counts={"in": 3})
        with record.timed("score"):
            pass
    found = stored(record)
    assert (found["status"], found["counts"], found["job"]) == ("finished", {"in": 3}, "rank")
    assert found["seconds"].keys() == {"score", "all"}


def test_a_run_that_fails_says_of_what(record):
    with pytest.raises(ValueError, match="no photos"), record:
        raise ValueError("no photos")
    assert stored(record)["status"] == "failed: ValueError: no photos"


def test_a_run_that_is_stopped_is_no_failure(record, capfd):
    """As `ray job stop` does: the record says so before anything is taken down, for that may be killed."""
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def run():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(stored(record)["status"])

    with pytest.raises(SystemExit) as stopped, record:
        run()
    assert stopped.value.code == 143
    assert cleaned == [STOPPED]
    assert stored(record)["status"] == STOPPED
    assert f"SIGTERM: {STOPPED}" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_is_a_stop_too(record):
    with pytest.raises(KeyboardInterrupt), record:
        raise KeyboardInterrupt
    assert stored(record)["status"] == STOPPED


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_runs_in_other_threads_are_stopped_too(record, stop, ctrl_c_stops):
    """Their end, of what the stop takes from under them, comes after it and is no failure."""
    started, go_on = threading.Event(), threading.Event()

    def work():
        started.set()
        go_on.wait()
        raise RuntimeError("Ray is gone")

    def run():
        with pytest.raises(RuntimeError), record:
            work()

    def be_stopped():
        thread.start()
        started.wait()
        os.kill(os.getpid(), stop)
        signal.pause()

    thread = threading.Thread(target=run, daemon=True)
    with pytest.raises((SystemExit, KeyboardInterrupt)), stops_are_recorded():
        be_stopped()
    go_on.set()
    thread.join()
    assert stored(record)["status"] == STOPPED


def test_stages_add_up_over_passes(record):
    with record:
        record.add_stages({"decode": 8, "score": 8}, {"decode": 2.0, "score": 4.0})
        record.add_stages({"score": 2}, {"score": 1.0})
    assert stored(record)["stages"] == {
        "decode": {"photos": 8, "seconds": 2.0, "photos_per_second": 4.0},
        "score": {"photos": 10, "seconds": 5.0, "photos_per_second": 2.0},
    }
