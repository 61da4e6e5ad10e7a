"""One job at a time in a folder of results: a lock file that its holder renews, on any storage.

Object stores do not reliably offer to create a file only where there is none, and clocks of machines differ. So a lock
counts as held when its holder is seen to renew it, or as left behind when it is not; and whoever writes one looks again
a moment later whether it is still its own. A holder that finds another's lock in its place stops at `RunLock.check`.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from halfiqa_ray import storage

RENEW_SECONDS = 5.0
LEFT_SECONDS = 30.0  # a lock that is not renewed for so long was left behind
FORCED_TRIES = 5  # a renewal that was under way may come after a forced lock; the holder's next one sees it
SETTLE_SECONDS = 1.0  # in which two that write a lock at once see each other's


class FolderBusy(RuntimeError):
    """Another job works on the folder; the text says which, and how to go on."""


class RunLock:
    """The lock of one folder, as its holder has it."""

    def __init__(self, folder: str, job: str) -> None:
        self.folder, self.uri = folder, storage.join(folder, "_lock.json")
        self.facts: dict[str, Any] = {
            "owner": uuid.uuid4().hex,
            "job": job,
            "host": socket.gethostname(),
            "processes": _process_table(),
            "pid": os.getpid(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "renewed": 0,
        }
        self.lost: str | None = None

    def take(self, force: bool) -> None:
        """Take the lock, or raise FolderBusy. With ``force`` from whoever has it."""
        if self._create():
            return
        there = self._read()
        if there and not force and not _is_dead(there):
            print(
                f"{self.folder}: {_who(there)} left a lock or is at work; watching for {LEFT_SECONDS:g} s", flush=True
            )
            there = self._watched(there)
        if there:
            print(f"{self.folder}: taken over from {_who(there)}{', as force is set' if force else ''}", flush=True)
        for _ in range(FORCED_TRIES if force else 1):
            storage.write_json(self.uri, self.facts)
            time.sleep(SETTLE_SECONDS)
            if self._others() is None:
                return
        self._refuse_unless_own()

    def renew(self) -> None:
        """Show that the holder is alive, unless another has taken the lock."""
        if there := self._others():
            self.lost = f"{self.folder} was taken over by {_who(there)}: this job stops, and what it has written stays"
            return
        self.facts["renewed"] += 1
        storage.write_json(self.uri, self.facts)

    def check(self) -> None:
        """Raise FolderBusy when another job has taken the lock."""
        if self.lost:
            raise FolderBusy(self.lost)

    def release(self) -> None:
        """Let the next one in."""
        if (there := self._read()) and there["owner"] == self.facts["owner"]:
            storage.delete(self.uri)

    def _create(self) -> bool:
        """Write the lock where there is none; False where there is one."""
        if storage.is_remote(self.uri):
            if storage.exists(self.uri):
                return False
            storage.write_json(self.uri, self.facts)
            time.sleep(SETTLE_SECONDS)
            self._refuse_unless_own()
            return True
        path = Path(storage.absolute(self.uri))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x") as file:
                json.dump(self.facts, file)
        except FileExistsError:
            return False
        return True

    def _read(self) -> dict[str, Any] | None:
        for _ in range(2):
            try:
                return dict(storage.read_json(self.uri))
            except FileNotFoundError:
                return None
            except ValueError:  # being created; or left half written on a full disk
                time.sleep(SETTLE_SECONDS)
        return None

    def _watched(self, there: dict[str, Any]) -> dict[str, Any] | None:
        """What is there when the holder has not renewed it for long. Raises FolderBusy when it has."""
        end = time.monotonic() + LEFT_SECONDS
        while time.monotonic() < end:
            time.sleep(min(RENEW_SECONDS, LEFT_SECONDS) / 5)
            now = self._read()
            if now and now != there:
                raise FolderBusy(_busy(self.folder, now))
        return self._read()

    def _others(self) -> dict[str, Any] | None:
        """The lock that is there, when it is another job's."""
        there = self._read()
        return there if there and there["owner"] != self.facts["owner"] else None

    def _refuse_unless_own(self) -> None:
        if there := self._others():
            raise FolderBusy(_busy(self.folder, there))


@contextmanager
def locked(folders: Sequence[str], job: str, force: bool) -> Iterator[Callable[[], None]]:
    """The locks of some folders for a ``with`` block, renewed from a thread. Raises FolderBusy as `RunLock.take` does.

    Gives a function that raises FolderBusy when another job has taken one of them: to be called before files go.
    """
    held: list[RunLock] = []
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEW_SECONDS):
            for lock in held:
                if lock.lost is None:
                    with suppress(OSError):  # a full disk, or a store that is away: what the job writes will say so
                        lock.renew()
                    if lock.lost:
                        print(lock.lost, flush=True)

    def check() -> None:
        for lock in held:
            lock.check()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()  # before all are taken: to watch one that was left behind takes as long as to lose the first
    try:
        for folder in sorted(set(folders)):
            lock = RunLock(folder, job)
            lock.take(force)
            held.append(lock)
        yield check
    finally:
        stop.set()
        thread.join()
        for lock in held:
            with suppress(OSError):  # the next job sees that it is not renewed
                lock.release()


def holder(folder: str) -> str | None:
    """Who holds the lock of a folder, as a name that no other has; None where there is none."""
    there = RunLock(folder, "")._read()
    return None if there is None else str(there["owner"])


def _is_dead(there: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine (and container) that is no more."""
    if (there["host"], there["processes"]) != (socket.gethostname(), _process_table()):
        return False
    try:
        os.kill(there["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        return False
    return False


def _process_table() -> str:
    """Which numbering of processes a process id belongs to: of this start of the machine, and of this container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    return ""


def _who(there: dict[str, Any]) -> str:
    return f"the {there['job']} job of process {there['pid']} on {there['host']}, started {there['started']}"


def _busy(folder: str, there: dict[str, Any]) -> str:
    return (
        f"{folder} is being written by {_who(there)}, which is alive: wait for it, or stop it (on {there['host']}: "
        f"kill {there['pid']}) and run this again. --force takes the folder from it"
    )
