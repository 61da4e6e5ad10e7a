"""When Python's cyclic garbage collector is only in the way: while modules are imported, and while a process ends.

Ray and torch make a million objects that live as long as the process. Collections that their own imports cause go
through them again and again (a fifth of the seconds of the imports), and the last ones, at the end of the process, go
through all of them (a second and a half). Both find nothing to do.
"""

from __future__ import annotations

import atexit
import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Iterator[None]:
    """Put off collections until the end of the block, which imports modules."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@functools.cache  # once a process is enough
def end_quickly() -> None:
    """Let this process end without looking through its objects; what runs at its exit, such as Ray's end, still runs.

    Modules and what they and cycles of objects hold are left to the operating system: Python does not promise to
    finalise them at exit either. A file must be closed by who opened it, as all are here.
    """
    atexit.register(gc.freeze)  # handlers run from the last to the first: those that come later still collect
