"""The localisation table as sentences and as a table, from its stored rows only."""

from __future__ import annotations

from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.statistics.bootstrap import FEW_UNITS
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, interval_cell, main_scopes, number

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


def page(rule: str) -> Page:
    """The page of ``schema.LOCALISATION`` whose main things are those of a rule; one that has a half an image."""
    of_rule = rule if rule in schema.IMAGE_RULES else "score_change"

    def section(rows: Rows) -> list[Part]:
        rules = dict.fromkeys(row["rule"] for row in rows)
        return [_table(rows), *(text for name in rules for text in _sentences(rows, name))]

    def brief(rows: Rows) -> list[Part]:
        shown = [row for some in main_scopes(rows).values() for row in some]
        return [*_sentences(shown, of_rule), _table(shown)]

    return Page(schema.LOCALISATION, "Localisation of planted defects", (LEGEND,), section, brief)


def _sentences(rows: Rows, rule: str) -> list[str]:
    control = {row["scope"]: row for row in rows if row["model"] == "untrained" and row["rule"] == rule}
    ours = [row for row in rows if row["model"] == "trained" and row["rule"] == rule]
    return [sentence(row, control.get(row["scope"])) for row in ours]


def _table(rows: Rows) -> Cells:
    header = ["scope", "rule", "model", "n", "photos", "chance", "most important damaged", "least important damaged"]
    is_controlled = any(row["most_minus_untrained"] is not None for row in rows)
    header += ["damaged blocks in important half", *(["trained - untrained"] * is_controlled), "finds"]
    lines = [
        [
            *(row["scope"], row["rule"], row["model"], str(row["n"]), str(row["photos"]), number(row["chance"], 2)),
            *(_hits(row, "most"), _hits(row, "least"), interval_cell(row, "important_share")),
            *([interval_cell(row, "most_minus_untrained", signed=True)] * is_controlled),
            row["finds"],
        ]
        for row in rows
    ]
    return Cells(header, lines)


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
