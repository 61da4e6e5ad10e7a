"""Run records: one JSON a run under ``runs/``, written at its start, and again at its end or failure."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from halfiqa_ray import storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.models.checkpoints import package_versions


class RunRecord:
    """What was run, with what, and what came out; a context manager around the run."""

    def __init__(self, uri: str, facts: dict[str, Any]) -> None:
        self.uri, self.facts = uri, facts
        self.start = time.monotonic()

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

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure the seconds of one stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.facts["seconds"][stage] = round(time.monotonic() - start, 3)

    def __enter__(self) -> RunRecord:
        storage.write_json(self.uri, self.facts | {"status": "running"})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.facts["seconds"]["all"] = round(time.monotonic() - self.start, 3)
        status = "finished" if error is None else f"failed: {type(error).__name__}: {error}"
        storage.write_json(self.uri, self.facts | {"status": status})
