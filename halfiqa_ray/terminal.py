"""What a job prints never ends it: not a letter that the terminal cannot show, nor a reader that has gone away.

Logs of batch systems, cron and slim images are often ASCII or an old code page, and file names of photos are in any
script. A letter that cannot be shown becomes one that looks like it, or its number (``\\u5199``).
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys

HANDLER = "halfiqa_ray.shown"
# Lines of tables, dashes and signs that this project prints, and what stands for them where there is ASCII alone.
LOOKS = str.maketrans(
    {
        **dict.fromkeys("─━═╌╴╶", "-"),
        **dict.fromkeys("│┃║", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬╭╮╰╯╪╫╞╡", "+"),
        **dict.fromkeys("–—−‐‑", "-"),
        **dict.fromkeys("‘’‚", "'"),
        **dict.fromkeys("“”„", '"'),
        "×": "x",
        "·": ".",
        "…": "...",
        "±": "+-",
        "≤": "<=",
        "≥": ">=",
        "→": "->",
        "•": "*",
        "\xa0": " ",
    }
)
GONE = {errno.EPIPE, errno.EIO}  # the reader of a pipe has ended, a terminal was hung up


def prepare() -> None:
    """Make standard output and error so. Streams that are no files of the system (a notebook's) stay as they are.

    On Windows it ends the job in one line: the decoders and Ray's private sessions are made for Linux and macOS.
    """
    if sys.platform == "win32":
        sys.stderr.write("Windows is not supported: run this in WSL (Linux)\n")
        raise SystemExit(2)
    codecs.register_error(HANDLER, _look_alike)
    _open_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # for the process's life
        elif isinstance(stream, io.TextIOWrapper) and type(stream) is io.TextIOWrapper:
            stream.reconfigure(errors=HANDLER)
            _outlives_its_reader(name, stream)


def say(text: str, is_data: bool = False) -> None:
    """Print a text. Data (CSV, JSON) goes into a file or a pipe as UTF-8, whatever encoding a person's terminal has:
    what reads them must get the letters themselves.
    """
    if is_data and isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(f"{text}\n".encode())
        sys.stdout.buffer.flush()
    else:
        print(text, flush=True)


def _look_alike(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = []
    for letter in error.object[error.start : error.end]:
        like = letter.translate(LOOKS)
        found.append(like if like.isascii() else letter.encode("ascii", "backslashreplace").decode("ascii"))
    return "".join(found), error.end


class _Patient(io.FileIO):
    """A file of the system that takes what is written also when its reader has gone: into nothing from then on."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno not in GONE:  # a full disk is said, once
                raise
        return super().write(data)  # type: ignore[arg-type]


def _outlives_its_reader(name: str, stream: io.TextIOWrapper) -> None:
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    if number not in (1, 2) or isinstance(getattr(stream.buffer, "raw", None), _Patient):
        return
    stream.flush()
    raw = io.BufferedWriter(_Patient(number, "w", closefd=False))
    lines = stream.line_buffering or name == "stderr"
    patient = io.TextIOWrapper(raw, stream.encoding, HANDLER, line_buffering=lines, write_through=stream.write_through)
    setattr(sys, name, patient)


def _open_closed() -> None:
    """Put /dev/null where a standard file is closed: the next file that is opened would take its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
