"""What a task of Ray failed of, as the error that it was: a person is to read a sentence, not a task's traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayTaskError

from halfiqa_ray.object_store import StorageError

# Ray Data raises an error of its own, and of the task's only the printed traceback is left, with causes first.
STORE = re.compile(rf"^(?:{re.escape(StorageError.__module__)}\.)?StorageError: (.+)$", re.MULTILINE)
SYSTEM = re.compile(r"^(?:OSError|PermissionError): (\[Errno \d+\] .+)$", re.MULTILINE)


@contextmanager
def plain_task_errors() -> Iterator[None]:
    """A block in which a task that failed of its storage raises that: StorageError, or OSError of a local disk.

    Any other error of a task is a mistake of ours, and stays Ray's, with the traceback that finds it.
    """
    try:
        yield
    except RayTaskError as error:
        for kind, pattern in ((StorageError, STORE), (OSError, SYSTEM)):
            if found := pattern.search(str(error)):
                raise kind(found[1].strip()) from error
        raise
