"""Run records: one JSON a run under ``runs/``, written at its start, and again at its end, failure or stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Any, ClassVar

from halfiqa_ray import storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.models.checkpoints import package_versions

STOPPED = "stopped; the same command goes on where it was"


class RunRecord:
    """What was run, with what, and what came out; a context manager around the run.

    SIGTERM (as `ray job stop` and a spot machine's end send it) ends the run with exit code 143 and a record that says
    so, and leaves the rest as any end does: finished files are whole. Of runs in other threads than the main one the
    records say so when the main one is in `stops_are_recorded`, as it is in every run of its own.
    """

    _under_way: ClassVar[list[RunRecord]] = []

    def __init__(self, uri: str, facts: dict[str, Any]) -> None:
        self.uri, self.facts = uri, facts
        self.start = time.monotonic()
        self._ended = False
        self._handled = ExitStack()

    @classmethod
    def of(cls, settings: Settings, job: str, key: str) -> RunRecord:
        """The record of one run of ``job``."""
        now = datetime.now(UTC)
        uri = storage.join(settings.output, "runs", f"{job}-{now:%Y%m%dT%H%M%S%f}-{key[:8]}.json")
        facts = {
            "job": job,
            "run_key": key,
            "started": now.isoformat(timespec="seconds"),
            "command": sys.argv,
            "settings": settings.model_dump(mode="json"),
            "settings_hash": fingerprint(settings),
            "versions": package_versions(),
            "seconds": {},
        }
        return cls(uri, facts)

    def note(self, **facts: Any) -> None:
        """Add facts."""
        self.facts.update(facts)

    def add_stages(self, photos: dict[str, int], seconds: dict[str, float]) -> None:
        """Add what each stage of a stream did to ``stages``: seconds are those of all actors and tasks together."""
        stages = self.facts.setdefault("stages", {})
        for name in photos:
            before = stages.get(name, {"photos": 0, "seconds": 0.0})
            total, took = before["photos"] + photos[name], before["seconds"] + seconds[name]
            rate = {"photos_per_second": round(total / took, 3)} if took else {}
            stages[name] = {"photos": total, "seconds": round(took, 3), **rate}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure the seconds of one stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.took(stage, time.monotonic() - start)

    def took(self, stage: str, seconds: float) -> None:
        """Note the seconds of one stage."""
        self.facts["seconds"][stage] = round(seconds, 3)

    def __enter__(self) -> RunRecord:
        self._write("running")
        self._under_way.append(self)
        self._handled.enter_context(stops_are_recorded())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handled.close()
        self._under_way.remove(self)
        if error is None:
            self._write("finished")
        elif isinstance(error, Exception):
            with suppress(OSError):  # of a disk that is full; the error that ended the run is the one to be seen
                self._write(f"failed: {type(error).__name__}: {error}")
        else:  # KeyboardInterrupt, SystemExit
            self._write(STOPPED)

    def stop(self) -> None:
        """Write down that the run was stopped; what taking it down brings about is no failure of its."""
        self._write(STOPPED)
        self._ended = True

    def _write(self, status: str) -> None:
        if self._ended:
            return
        self.facts["seconds"]["all"] = round(time.monotonic() - self.start, 3)
        storage.write_json(self.uri, self.facts | {"status": status})


@contextmanager
def stops_are_recorded() -> Iterator[None]:
    """A block in which SIGTERM ends the process; then, and at Ctrl-C, the records of all runs under way say so.

    Only the main thread hears of either: in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt:
        _record_stops()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    # At once, before the stream is taken down: `ray job stop` kills after three seconds. Not by print, which the
    # signal may have interrupted.
    os.write(2, f"{signal.Signals(number).name}: {STOPPED}\n".encode())
    _record_stops()
    raise SystemExit(128 + number)


def _record_stops() -> None:
    for record in RunRecord._under_way:
        with suppress(OSError):  # of a full disk; it stops all the same
            record.stop()
