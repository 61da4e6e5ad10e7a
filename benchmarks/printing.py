"""What the benchmarks share: the machine in words, a median time, and the end of every one of them."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def machine(device: torch.device | None = None, threads: int | None = None) -> str:
    """What it ran on."""
    import torch  # not for those that measure what a process without it takes

    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    said = f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, "
    return said + (f"{threads} torch threads, " if threads else "") + f"torch {torch.__version__}"


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """A command line with ``--output``."""
    made = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, help="Markdown file to write")
    return made


def publish(lines: Iterable[str], output: Path | None) -> None:
    """Print, and write if asked."""
    text = "\n".join(lines)
    print(text)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n")


def run(documentation: str | None, work: Callable[[argparse.Namespace], Iterable[str]], **options: object) -> None:
    """Parse ``--NAME VALUE`` for every option with its default, work, publish what it returns."""
    command = parser(documentation)
    for name, default in options.items():
        command.add_argument(f"--{name}", type=type(default), default=default, help=f"default {default}")
    chosen = command.parse_args()
    publish(work(chosen), chosen.output)
