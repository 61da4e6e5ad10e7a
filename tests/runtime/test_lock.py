"""One job at a time in a folder, whatever the storage and the clocks."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest

from halfiqa_ray import storage
from halfiqa_ray.runtime import lock
from halfiqa_ray.runtime.lock import FolderBusy, RunLock, holder, locked


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Tenths of seconds in place of seconds."""
    for name, seconds in (("RENEW_SECONDS", 0.1), ("LEFT_SECONDS", 1.0), ("SETTLE_SECONDS", 0.2)):
        monkeypatch.setattr(lock, name, seconds)


@pytest.fixture(params=["local", "s3"])
def folder(request, tmp_path):
    return str(tmp_path / "run=1") if request.param == "local" else f"{request.getfixturevalue('bucket')}/run=1"


def left_behind(folder, **facts):
    """The lock of a job that no longer renews it."""
    gone = RunLock(folder, "rank")
    gone.facts |= facts
    storage.write_json(gone.uri, gone.facts)
    return gone


def test_a_second_job_is_refused_and_told_by_whom(folder):
    with locked([folder], "rank", False):
        told = r"the rank job of process \d+ on .*, started .* which is alive.*--force"
        with pytest.raises(FolderBusy, match=told), locked([folder], "measure", False):
            pass
        assert storage.exists(f"{folder}/_lock.json")
    assert not storage.exists(f"{folder}/_lock.json")
    with locked([folder], "measure", False):
        pass


def test_a_lock_that_is_not_renewed_is_taken_over(folder, capsys):
    left_behind(folder, host="elsewhere", pid=1)
    with locked([folder], "rank", False) as check:
        said = capsys.readouterr().out
        assert "watching for 1 s" in said
        assert "taken over from the rank job of process 1 on elsewhere" in said
        check()


@pytest.mark.parametrize("year", [1970, 2999])
def test_clocks_do_not_matter(folder, year):
    """A holder whose clock is far off is alive as long as it renews, and dead when it does not."""
    away = left_behind(folder, host="elsewhere", started=datetime(year, 1, 1, tzinfo=UTC).isoformat())
    stop = threading.Event()

    def renew():
        while not stop.wait(0.05):
            away.renew()

    thread = threading.Thread(target=renew)
    thread.start()
    with pytest.raises(FolderBusy), locked([folder], "rank", False):
        pass
    stop.set()
    thread.join()
    with locked([folder], "rank", False):
        pass


def test_the_lock_of_a_process_that_is_dead_needs_no_waiting(tmp_path, capsys):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left_behind(str(tmp_path), pid=dead.pid)
    with locked([str(tmp_path)], "rank", False):
        assert "watching" not in capsys.readouterr().out
    left_behind(str(tmp_path), pid=dead.pid, processes="of another container")
    with locked([str(tmp_path)], "rank", False):
        assert "watching" in capsys.readouterr().out


def test_force_takes_the_folder_and_the_other_stops_before_it_removes_anything(folder, capsys):
    with locked([folder], "rank", False) as check, locked([folder], "rank", True) as check_forced:
        assert "as force is set" in capsys.readouterr().out
        threading.Event().wait(0.5)
        check_forced()
        with pytest.raises(FolderBusy, match="was taken over by the rank job"):
            check()


def test_of_many_that_start_at_once_one_keeps_the_folder(folder):
    """On a store so slow that two may get it, the first of them finds out before it removes anything."""
    kept, refused, begin, settled = [], [], threading.Barrier(5), threading.Barrier(5)

    def work(number):
        there = False
        begin.wait()
        try:
            with locked([folder], f"job {number}", False) as check:
                there = True
                settled.wait(60)
                time.sleep(2)
                check()
                kept.append(number)
                time.sleep(2)
        except FolderBusy:
            refused.append(number)
            if not there:
                settled.wait(60)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 1
    assert len(refused) == 4


def test_all_folders_or_none(tmp_path):
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    with locked([second], "rank", False):
        with pytest.raises(FolderBusy, match="b is being written"), locked([first, second], "zero", False):
            pass
        assert not storage.exists(f"{first}/_lock.json")


def test_a_lock_that_was_left_half_written_is_no_lock(tmp_path):
    (tmp_path / "_lock.json").touch()
    with locked([str(tmp_path)], "rank", False):
        assert json.loads((tmp_path / "_lock.json").read_text())["job"] == "rank"


def test_results_are_listed_without_the_lock(folder):
    with locked([folder], "rank", False):
        assert storage.list_files(folder) == []


def test_a_lock_is_renewed_while_others_are_waited_for(tmp_path, monkeypatch):
    """Or the first would look left behind by the time the last is taken."""
    folders = [str(tmp_path / name) for name in "abc"]
    for folder in folders[1:]:
        left_behind(folder, host="elsewhere")
    result = []

    def work():
        with locked(folders, "rank", False) as check:
            time.sleep(1)
            check()
            result.append("kept")

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    with pytest.raises(FolderBusy), locked(folders[:1], "rank", False):
        pass
    thread.join()
    assert result == ["kept"]


def test_who_holds_a_folder(folder):
    assert holder(folder) is None
    with locked([folder], "rank", False):
        first = holder(folder)
        with locked([folder], "rank", True):
            assert holder(folder) not in (None, first)


def test_force_wins_over_a_renewal_that_was_under_way(tmp_path, monkeypatch):
    """The holder has read its own lock, and writes it again after the other's."""
    holds = left_behind(str(tmp_path), host="elsewhere")
    taker, writes, write = RunLock(str(tmp_path), "rank"), [], storage.write_json

    def and_then_the_renewal(uri, facts):
        write(uri, facts)
        if not writes:
            write(uri, holds.facts)
        writes.append(facts["owner"])

    monkeypatch.setattr(storage, "write_json", and_then_the_renewal)
    taker.take(force=True)
    assert holder(str(tmp_path)) == taker.facts["owner"]
    holds.renew()
    assert holds.lost
