"""`halfiqa models`: the checkpoints that come with the package."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfiqa_ray.models import shipped
from halfiqa_ray.models.offered import offered

DESCRIPTION = """List the models that come with the package: the data set that each learned from, how its scores agree
with people's on photos that it did not learn from (PLCC and SRCC), and the terms of its weights. The model card,
README.md beside the weights, says more."""
HEADER = ("model", "kind", "learned from", "test photos", "PLCC", "SRCC", "terms")
NUMBERS = (3, 4, 5)  # columns, set to the right
CARD = "README.md"


def run(words: Sequence[str], program: str) -> int:
    """Print the list; 1 when there is none."""
    argparse.ArgumentParser(program, description=DESCRIPTION).parse_args(words)
    names = shipped.names()
    if not names:
        print("No model comes with this installation. Give --model a checkpoint folder, such as halfiqa train writes.")
        return 1
    rows = [HEADER, *(_row(name) for name in names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        cells = (
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
    print(f"\nCards: {CARD} beside the weights, in {Path(shipped.resolve(names[0])).parents[1]}")
    if others := offered():
        print("\nOffered by other installed packages, for zero.models and explain.models:")
        print("\n".join(f"outside:{name}  ({package})" for name, package in sorted(others.items())))
    return 0


def _row(name: str) -> tuple[str, ...]:
    folder = Path(shipped.resolve(name))
    record = json.loads((folder / "model.json").read_text("utf-8"))
    found = tested(record["metrics"])
    numbers = (str(found["n"]), *(_number(found[key]) for key in ("plcc", "srcc"))) if found else ("", "", "")
    learned = record["dataset"] + (" (made-up scores)" if record["synthetic"] else "")
    return name, record["model"]["name"], learned, *numbers, terms(folder)


def tested(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The agreement on the test split, by its name or its beginning; none where nothing was tested."""
    tests = sorted(name for name in metrics if name.startswith("test"))
    return metrics[tests[0]] if tests else None


def terms(folder: Path) -> str:
    """What the model card gives as its licence: the line ``license:``, ``licence:`` or ``terms:`` that comes first."""
    card = folder / CARD
    text = card.read_text("utf-8") if card.exists() else ""
    found = re.search(r"^\W*(?:licen[cs]e|terms)\W*:\W*(\S.*?)\W*$", text, re.IGNORECASE | re.MULTILINE)
    return found.group(1) if found else f"see {CARD}" if text else "not stated"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
