"""The command `halfiqa`: its subcommands, and what all of them do with mistakes, interrupts and closed pipes.

What a subcommand works with is imported when it runs: ``--help`` of none imports torch or Ray.
"""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
from collections.abc import Sequence

from halfiqa_ray import __version__
from halfiqa_ray.collecting import end_quickly
from halfiqa_ray.command import imported, run_job
from halfiqa_ray.commands.table import OWN, jobs

WIDTH = 100
INTERRUPTED = 130  # exit code, as a shell has it


OPENING = "Which half of a photo does an image quality model look at?"
CLOSING = """halfiqa COMMAND --help explains a command and its settings. The jobs need Ray; look and models do not.
A --config that is no file of yours is one that comes with the package, such as data/biq2021."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    end_quickly()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack letters that a file's name has
    try:
        return _run(words)
    except KeyboardInterrupt:
        print("halfiqa: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has enough. Python would flush into the closed pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"halfiqa_ray {__version__}")
        return 0
    name, rest = words[0].replace("_", "-"), words[1:]
    if name in OWN:
        return imported(f"halfiqa_ray.commands.{OWN[name].entry}:run")(rest, f"halfiqa {name}")
    if name == "query":
        return imported("halfiqa_ray.commands.query:run")(rest, "halfiqa query")
    if name in jobs():
        return run_job(name.replace("-", "_"), rest, f"halfiqa {name}")
    close = difflib.get_close_matches(name, [*OWN, *jobs()], 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    print(f"halfiqa: there is no command {words[0]}{meant} halfiqa --help lists them", file=sys.stderr)
    return 2


def overview() -> str:
    """What `halfiqa --help` prints."""
    lines = ["usage: halfiqa COMMAND ...", "", OPENING, ""]
    for told in ({name: command.description for name, command in OWN.items()}, jobs()):
        lines += [line for name, text in told.items() for line in _item(name, text)]
        lines.append("")
    return "\n".join([*lines, CLOSING])


def _item(name: str, text: str) -> list[str]:
    column = 2 + max(map(len, [*OWN, *jobs()])) + 2
    return textwrap.wrap(f"  {name}".ljust(column) + text, WIDTH, subsequent_indent=" " * column)
