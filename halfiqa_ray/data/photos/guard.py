"""Decoding in processes of their own, bounded in time and memory: whatever a photo does there is that photo's error.

A decoder that dies or is ended is replaced for the next photo. Bytes go to it and pixels come back through memory that
both share; a JSON line each way says what they are.

Why not a library's process pool: pebble's, the one that bounds the time of a task, breaks for good when a process that
is idle is ended, as on a machine that ran out of memory; and `multiprocessing` runs the script of the asking process in
each new one, which in a Ray worker is Ray's.
"""

from __future__ import annotations

import functools
import json
import math
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

import halfiqa_ray
from halfiqa_ray import machine
from halfiqa_ray.data.photos.decoder import remapped
from halfiqa_ray.data.photos.decoding import ImageError, Photo, Wanted

ROOM = 8 << 20  # bytes that a decoder shares at first
ROOM_KEPT = 64 << 20  # and at most, between photos
START_SECONDS = 120  # that a decoder may take to start, on a busy machine
# One thread a decoder: there are several, and a library's threads would count towards its memory. Freed memory is kept
# for the next photo (glibc decides by how its heap happens to lie): to get it anew can take as long as decoding.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class Killed(ImageError):
    """Something from outside ended the decoder: the system, most likely, short of memory."""


class Decoder:
    """One decoding process, started when it is first needed, and again when it has ended."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.seconds, self.memory_bytes = seconds, memory
        self.most_bytes = memory  # that the running process may take: the shell may allow less
        self.process: subprocess.Popen[bytes] | None = None
        self.file = _shared_file()
        os.ftruncate(self.file, ROOM)
        self.memory: mmap.mmap = remapped(self.file, None)

    def decode(self, data: bytes, wanted: Wanted) -> Photo:
        """`decode_at` in the process. Raises ImageError, also for a photo that takes too long or kills it."""
        try:
            said = self._ask(data, wanted)
        except Killed:  # the first to go on a full machine, whoever filled it: once more before it is the photo's
            said = self._ask(data, wanted)
        if "error" in said:
            raise ImageError(said["error"], said.get("message") or _more_memory(self.memory_bytes, self.most_bytes))
        self.memory = remapped(self.file, self.memory)
        pixels, start = [], 0
        for shape in said["shapes"]:
            size = int(np.prod(shape))
            pixels.append(np.frombuffer(self.memory[start : start + size], np.uint8).reshape(shape))
            start += size
        if len(self.memory) > ROOM_KEPT:
            self._make_room(ROOM)
        return Photo(said["height"], said["width"], pixels)

    def close(self) -> None:
        """End the process, and give back what is shared."""
        self._end()
        self.memory.close()
        os.close(self.file)

    def _ask(self, data: bytes, wanted: Wanted) -> dict[str, Any]:
        process = self._running()
        if len(data) > len(self.memory):
            self._make_room(len(data))
        self.memory[: len(data)] = data
        question = {"bytes": len(data), **asdict(wanted)}
        try:
            with suppress(BrokenPipeError):  # it died: there is no line to read either
                _into(process).write(json.dumps(question).encode() + b"\n")
                _into(process).flush()
            line = _line(process, self.seconds)
        except BaseException:  # interrupted: its answer would be taken for one about the next photo
            self._end()
            raise
        if line is None:
            self._end()
            raise ImageError("decoder_too_slow", f"decoding took longer than {self.seconds:g} s (data.decode_seconds)")
        if not line:
            raise self._died(process.wait())
        return dict(json.loads(line))

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is not None:
            self._end()
        if self.process is None:
            package = str(Path(halfiqa_ray.__file__).parents[1])
            path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
            with tempfile.TemporaryFile() as said, _kept_errors() as errors:
                self.process = subprocess.Popen(  # noqa: S603  # our own module
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "halfiqa_ray.data.photos.decoder",
                        *(str(value) for value in (self.file, self.memory_bytes, math.ceil(self.seconds), errors)),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    pass_fds=[self.file, errors],
                    env=os.environ | ENVIRONMENT | {"PYTHONPATH": path},
                )
                line = _line(self.process, START_SECONDS)
                if not line:
                    code = self.process.poll()
                    if code == -signal.SIGKILL:
                        raise self._died(code)
                    self._end()
                    said.seek(0)
                    raise RuntimeError(_does_not_start(line, said.read().decode(errors="replace")))
            self.most_bytes = int(line)
        return self.process

    def _died(self, code: int) -> ImageError:
        self._end()
        kind = Killed if code == -signal.SIGKILL else ImageError
        return kind("decoder_died", f"decoding it ended the decoder ({_how_it_ended(code)})")

    def _end(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        with self.process:  # waits, and closes the pipes
            pass
        self.process = None

    def _make_room(self, size: int) -> None:
        self.memory.close()
        os.ftruncate(self.file, size)
        self.memory = remapped(self.file, None)


class Decoders:
    """Decoders for the threads of one process: as many as decode at once, at most one a core."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.seconds, self.memory = seconds, memory
        self.free: list[Decoder] = []
        self.slots = threading.BoundedSemaphore(machine.cores())
        self.lock = threading.Lock()

    def decode(self, data: bytes, wanted: Wanted) -> Photo:
        """`Decoder.decode` by one that is free."""
        with self._one() as decoder:
            return decoder.decode(data, wanted)

    @contextmanager
    def _one(self) -> Iterator[Decoder]:
        with self.slots:
            with self.lock:
                decoder = self.free.pop() if self.free else None
            decoder = decoder or Decoder(self.seconds, self.memory)
            try:
                yield decoder
            finally:
                with self.lock:
                    self.free.append(decoder)

    def close(self) -> None:
        """End the decoders that are free."""
        with self.lock:
            while self.free:
                self.free.pop().close()


@functools.lru_cache(maxsize=1)
def decoders(seconds: float, memory: int) -> Decoders:
    """Those of this process; they end with it."""
    return Decoders(seconds, memory)


def _shared_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("halfiqa_ray-photo")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _into(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None  # noqa: S101
    return process.stdin


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line that it says: b"" when it has ended, None when it says nothing for so long."""
    assert process.stdout is not None  # noqa: S101
    waiting = select.poll()  # select would not take a number of 1024 or more
    waiting.register(process.stdout, select.POLLIN)
    return process.stdout.readline() if waiting.poll(1000 * seconds) else None


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "killed, perhaps as the machine ran out of memory"
    return signal.Signals(-code).name


def _more_memory(wanted: int, most: int) -> str:
    what = "data.decode_bytes" if most == wanted else "the limit of the shell, ulimit -d, below data.decode_bytes"
    return f"decoding it takes more than {most:,} bytes of memory ({what})"


def _does_not_start(line: bytes | None, errors: str) -> str:
    """Why, in one line: what it said last, and the shell's limits, which are the usual cause."""
    texts = [text.strip() for text in reversed(errors.splitlines()) if text.strip()]
    last = next((text for text in texts if "rror" in text), texts[0] if texts else "")
    cause = last or (f"it says nothing for {START_SECONDS} s" if line is None else "it ends without a word")
    limits = {"ulimit -v": "AS", "ulimit -d": "DATA", "ulimit -s": "STACK", "ulimit -u": "NPROC", "ulimit -n": "NOFILE"}
    found = {flag: machine.shell_limits(name) for flag, name in limits.items()}
    set_ones = ", ".join(f"{flag}: {limit[0]:,}" for flag, limit in found.items() if limit)
    return (
        f"the process that decodes photos does not start ({cause}). Is a limit of the shell too low "
        f"({set_ones or 'none'}; -v, -d and -s in bytes)? Raise it, or set data.decode_seconds to 0 "
        f"to decode without such a process"
    )


@contextmanager
def _kept_errors() -> Iterator[int]:
    """A copy of standard error for the decoder, where there is one."""
    try:
        copy = os.dup(2)
    except OSError:  # it is closed
        copy = os.open(os.devnull, os.O_WRONLY)
    try:
        yield copy
    finally:
        os.close(copy)
