"""The localisation table as sentences and as a table, from its stored rows only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from halfiqa_ray.tables.reading import ALL
from halfiqa_ray.tables.section2 import FEW_UNITS
from halfiqa_ray.tables.writing import NOTICE, aligned_table, markdown_table, number, with_interval

ANSWER = {
    "damaged": "the blocks found are the damaged ones",
    "clean": "the blocks found are the clean ones, not the damaged ones",
    "neither": "neither the damaged nor the clean ones are found (an interval covers chance)",
}
LEGEND = (
    "Most important block damaged: share of images, [Wilson 95% interval], {95% interval, source photos resampled}. "
    "An answer other than neither needs both intervals on one side of chance."
)


def sentence(row: dict[str, Any], untrained: dict[str, Any] | None = None) -> str:
    """What one row of ``schema.LOCALISATION`` says, beside the same row of the untrained model."""
    start = f"{row['rule']}, {row['scope']}: "
    if not row["n"]:
        return f"{start}no images damaged in part with importance by this rule."
    text = (
        f"{start}in {row['most_hits']} of {row['n']} images of {row['photos']} source photos the most important block "
        f"is a damaged one ({number(row['most'], 2)}, {_ends(row, 'most')}, chance {number(row['chance'], 2)}): "
        f"{ANSWER[row['finds']]}."
    )
    if row["photos"] < FEW_UNITS:
        text += f" With {row['photos']} photos this says little about others."
    if untrained is not None and untrained["n"]:
        same = "the same answer" if untrained["finds"] == row["finds"] else f"answer: {untrained['finds']}"
        text += f" Untrained: {number(untrained['most'], 2)} ({_ends(untrained, 'most')}), {same}."
    return text


def console(table: pa.Table, rule: str, scopes: Sequence[str] | None = None) -> str:
    """Sentences for ``rule`` and the table for one run: all images and the test splits, or the scopes named."""
    rows = [row for row in table.to_pylist() if _shown(row["scope"], scopes)]
    lines = [f"Localisation of planted defects - {rows[0]['dataset']}, run {rows[0]['run']}"] if rows else []
    lines += [NOTICE] if any(row["synthetic"] for row in rows) else []
    lines += _sentences(rows, rule)
    return "\n".join([*lines, "", _table(rows, aligned_table), LEGEND])


def markdown(table: pa.Table) -> str:
    """A Markdown page of all data sets and runs in a table."""
    lines = ["# Localisation of planted defects", "", LEGEND]
    for (dataset, run), group in groupby(table.to_pylist(), key=lambda row: (row["dataset"], row["run"])):
        rows = list(group)
        lines += ["", f"## {dataset}, run {run}", ""]
        lines += [f"**{NOTICE}**", ""] if any(row["synthetic"] for row in rows) else []
        lines += [_table(rows, markdown_table), ""]
        for rule in dict.fromkeys(row["rule"] for row in rows):
            lines += [f"- {text}" for text in _sentences(rows, rule)]
    return "\n".join(lines) + "\n"


def _shown(scope: str, scopes: Sequence[str] | None) -> bool:
    return (scope == ALL or scope.startswith("test")) if scopes is None else scope in scopes


def _sentences(rows: list[dict[str, Any]], rule: str) -> list[str]:
    control = {row["scope"]: row for row in rows if row["model"] == "untrained" and row["rule"] == rule}
    ours = [row for row in rows if row["model"] == "trained" and row["rule"] == rule]
    return [sentence(row, control.get(row["scope"])) for row in ours]


def _table(rows: list[dict[str, Any]], layout: Callable[..., str]) -> str:
    header = ["scope", "rule", "model", "n", "photos", "chance", "most important damaged", "least important damaged"]
    header += ["damaged blocks in important half", "trained - untrained", "finds"]
    lines = [
        [
            *(row["scope"], row["rule"], row["model"], str(row["n"]), str(row["photos"]), number(row["chance"], 2)),
            *(_hits(row, "most"), _hits(row, "least")),
            with_interval(row["important_share"], row["important_share_low"], row["important_share_high"]),
            with_interval(
                row["most_minus_untrained"],
                row["most_minus_untrained_low"],
                row["most_minus_untrained_high"],
                signed=True,
            ),
            row["finds"],
        ]
        for row in rows
    ]
    return layout(header, lines)


def _hits(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return ""
    photo = [number(row[f"{name}_photo_{end}"], 2) for end in ("low", "high")]
    of_photos = f" {{{photo[0]}, {photo[1]}}}" if all(photo) else ""
    wilson = f"[{number(row[f'{name}_low'], 2)}, {number(row[f'{name}_high'], 2)}]"
    return f"{number(row[name], 2)} {wilson}{of_photos}"


def _ends(row: dict[str, Any], name: str) -> str:
    wilson = f"95% interval {number(row[f'{name}_low'], 2)} to {number(row[f'{name}_high'], 2)}"
    low, high = (number(row[f"{name}_photo_{end}"], 2) for end in ("low", "high"))
    return f"{wilson}, over photos {low} to {high}" if low and high else f"{wilson}, one photo"
