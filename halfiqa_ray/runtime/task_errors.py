"""What a task of Ray failed of, as the error that it was: a person is to read a sentence, not a task's traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayError

from halfiqa_ray.models.checkpoints import CheckpointError
from halfiqa_ray.models.outside import OutsideError
from halfiqa_ray.stages.watched import TooManyKilled
from halfiqa_ray.storage.object_store import StorageError

# Ray Data raises an error of its own, and of the task's only the printed traceback is left, with causes first.
SAID = {
    kind: re.compile(rf"^(?:{re.escape(kind.__module__)}\.)?{kind.__name__}: (.+)$", re.MULTILINE)
    for kind in (StorageError, CheckpointError, OutsideError, TooManyKilled)
}
SYSTEM = re.compile(r"^(?:OSError|PermissionError): (\[Errno \d+\] .+)$", re.MULTILINE)


@contextmanager
def plain_task_errors() -> Iterator[None]:
    """A block in which a task that failed of its storage raises that: StorageError, or OSError of a local disk.

    So it is with CheckpointError, OutsideError and TooManyKilled. Any other error of a task is a mistake of ours, and
    stays Ray's, with the traceback that finds it.
    """
    try:
        yield
    except RayError as error:
        for kind, pattern in (*SAID.items(), (OSError, SYSTEM)):
            if found := pattern.search(str(error)):
                raise kind(found[1].strip()) from error
        raise
