"""The process that decodes photos for `guard`: ``python -m halfiqa_ray.data.photos.decoder FD BYTES SECONDS ERRORS``.

It says how many bytes it may take when it is ready, then reads one JSON line a photo from standard input and answers
with one on standard output. Errors go to where the process that asks wants to read why it does not start; from then on
to the file descriptor ERRORS.
The photo's bytes, and then its pixels at every wanted size, one after the other, lie in the shared memory behind the
file descriptor FD. It ends when its input does, or a little after SECONDS over one photo, so that it does not outlive
the process that asks. It imports Pillow and numpy, not torch or Ray.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from halfiqa_ray import machine
from halfiqa_ray.data.photos.decoding import ImageError, Wanted, decode_at

LATE = 5  # seconds after those in which the process that asks would have ended this one


def remapped(shared: int, memory: mmap.mmap | None) -> mmap.mmap:
    """The whole of a shared file in memory: ``memory`` as it is while the file's size is that."""
    size = os.fstat(shared).st_size
    return memory if memory is not None and len(memory) == size else mmap.mmap(shared, size)


def bound(memory: int) -> int:
    """Let this process take ``memory`` bytes at most, leave no core file, and be the first that a full machine ends.

    What is bounded is what it writes to (RLIMIT_DATA); the libraries and the shared memory do not count. A lower limit
    of the shell (``ulimit -d``) stays; returns the one that counts.
    """
    lowest = min([memory, *machine.shell_limits("DATA"), *machine.shell_limits("DATA", hard=True)])
    with suppress(ValueError, OSError):  # systems other than Linux may not take it
        resource.setrlimit(resource.RLIMIT_DATA, (lowest, lowest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # there is no such file but on Linux
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    return lowest


def answer(asked: dict[str, Any], shared: int, memory: mmap.mmap) -> dict[str, Any]:
    """Decode the photo in the shared memory, and put its pixels in its place."""
    wanted = Wanted(asked["maximum_pixels"], [size and tuple(size) for size in asked["sizes"]], asked["turned"])
    try:
        photo = decode_at(memory[: asked["bytes"]], wanted)
    except ImageError as error:
        return {"error": error.kind, "message": str(error)}
    except MemoryError:
        return {"error": "decoder_out_of_memory"}
    room = sum(pixels.size for pixels in photo.pixels)
    if room > len(memory):
        os.ftruncate(shared, room)
        memory = remapped(shared, memory)
    start = 0
    for pixels in photo.pixels:
        np.frombuffer(memory, np.uint8, pixels.size, start)[:] = pixels.ravel()
        start += pixels.size
    return {"height": photo.height, "width": photo.width, "shapes": [pixels.shape for pixels in photo.pixels]}


def main() -> None:
    """Serve until standard input ends."""
    shared, memory_bytes, seconds, errors = map(int, sys.argv[1:])
    lowest = bound(memory_bytes)
    memory = None
    Image.preinit()  # the first photo is not to wait for it
    os.dup2(errors, 2)
    os.close(errors)
    print(lowest, flush=True)
    for line in sys.stdin.buffer:
        memory = remapped(shared, memory)
        signal.alarm(seconds + LATE)  # its default action ends C code as well
        print(json.dumps(answer(json.loads(line), shared, memory)), flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    main()
