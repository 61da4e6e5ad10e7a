"""Progress of long work: how much is done, how fast, and how long it will take.

A bar on a terminal; a line now and then elsewhere, which a log keeps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm


def _print(line: str) -> None:
    print(line, flush=True)


class Progress:
    """Counts ``total`` items of ``what`` ("photos scored") and prints a line at most every ``seconds``.

    The rate is that of the run so far, from the first item on: starting workers is not the work.
    """

    def __init__(
        self,
        total: int,
        what: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = _print,
    ) -> None:
        self.total, self.what, self.seconds = total, what, seconds
        self.clock, self.write = clock, write
        self.done = self.failed = self.before_first = 0
        self.start = self.printed = clock()
        self.first: float | None = None

    def advance(self, n: int, failed: int = 0) -> None:
        """``n`` more items are done, ``failed`` of them with an error."""
        self.done += n
        self.failed += failed
        now = self.clock()
        if self.first is None:
            self.first, self.before_first = now, self.done
        if now - self.printed >= self.seconds:
            self.printed = now
            self.write(self._line(now))

    def close(self) -> None:
        """Print the last line: how many, in what time."""
        taken = self.clock() - self.start
        self.write(f"{self.what}: {self.done:,} of {self.total:,} in {duration(taken)}{self._failures()}")

    def say(self, line: str) -> None:
        """Print something else."""
        self.write(line)

    def _line(self, now: float) -> str:
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        line = f"{self.what}: {self.done:,} of {self.total:,}{share}"
        elapsed = now - (self.first if self.first is not None else now)
        if elapsed > 0 and self.done > self.before_first:
            rate = (self.done - self.before_first) / elapsed
            line += f", {rate:.3g}/s, {duration(max(0, self.total - self.done) / rate)} left"
        return line + self._failures()

    def _failures(self) -> str:
        return f", {self.failed:,} failed" if self.failed else ""


class Bar(Progress):
    """The same as one line that is drawn anew, for a terminal."""

    def __init__(self, total: int, what: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(total, what, 0, clock)
        # At most the terminal's width; other prints go above the bar (`say`).
        self.bar = tqdm(total=total, desc=what, unit="", file=stream, dynamic_ncols=True, leave=False, mininterval=0.5)

    def advance(self, n: int, failed: int = 0) -> None:
        """``n`` more items are done, ``failed`` of them with an error."""
        self.done += n
        self.failed += failed
        if self.failed:
            self.bar.set_postfix_str(f"{self.failed:,} failed", refresh=False)
        self.bar.update(n)

    def close(self) -> None:
        """The bar goes; the last line stays."""
        self.bar.close()
        super().close()

    def say(self, line: str) -> None:
        """Print something above the bar."""
        tqdm.write(line)


def make_progress(total: int, what: str, seconds: float) -> Progress:
    """A bar where a person looks, else lines at most every ``seconds``."""
    return Bar(total, what, sys.stderr) if sys.stderr.isatty() else Progress(total, what, seconds)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 5 s, 2 h 7 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
