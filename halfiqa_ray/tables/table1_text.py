"""Table I and the averaged-measure experiment as text, from their stored rows only."""

from __future__ import annotations

from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables.averaged_measure import MEAN
from halfiqa_ray.tables.stored.reading import ALL
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, by_scope, interval_cell, intervals_of, number

LEGEND = (
    "Predicted: PLCC of the prediction with the half zeroed with the original prediction. MOS: PLCC with the mean "
    "opinion scores. Halves by masked TRIQ, by zeroing each block alone in the predicting model (its own), by a "
    "measure, or (controls) without looking at the image.",
    "A half chosen for changing the prediction least is bound to correlate better: compare with the controls.",
)
FILL_NAMES = {
    "zero": "zero (paper)",
    "photo_mean": "photo's mean",
    "blur": "blur",
    "inpaint": "inpaint",
    "black": "black",
}
NAMES = {
    "occlusion": "its own (occlusion)",
    "control_random": "random half",
    "control_centre": "centre half",
    "control_other": "another image's half",
}


def _brief(rows: Rows) -> list[Part]:
    """Every scope, without intervals of the correlations with MOS."""
    parts: list[Part] = []
    tests = {row["scope"] for row in rows if row["scope"] != ALL}
    for scope, some in by_scope(rows).items():
        if len(tests) == 1 and scope == ALL and _counts(some) == _counts([r for r in rows if r["scope"] in tests]):
            continue  # all images that were zeroed are the test split, which follows
        parts.append(_table1(some, False, f"{_scope(scope)}: {_about(some)}"))
    return parts


def _controls(rows: Rows) -> list[Part]:
    mos = any(row["important_mos"] is not None for row in rows)
    columns = ["important", "important_mos", "trivial", "trivial_mos"] if mos else ["important", "trivial"]
    fills = _with_fills(rows)
    header = ["model", "half by", "less", *(["filled by"] if fills else [])]
    header += [*(name.replace("_mos", ": MOS") for name in columns), "n"]
    body = [
        [row["model"], row["ranking"], NAMES[row["control"]], *([FILL_NAMES[row["fill"]]] if fills else [])]
        + [interval_cell(row, name, signed=True) for name in columns]
        + [str(row["n"])]
        for row in rows
    ]
    return [Cells(header, body)]


def _averaged_brief(rows: Rows) -> list[Part]:
    """The means of the test splits, or of all that there is."""
    means = [row for row in rows if row["model"] == MEAN]
    return [_averaged([row for row in means if row["scope"] != ALL] or means, scopes=True)]


def _scope(scope: str) -> str:
    return "all images that were zeroed" if scope == ALL else scope


def _counts(rows: Rows) -> list[tuple[str, str, str, int]]:
    return [(row["model"], row["ranking"], row["fill"], row["n"]) for row in rows]


def _with_fills(rows: Rows) -> bool:
    """Whether there is more to say of fills than that all are the paper's."""
    return any(row["fill"] != schema.ZERO for row in rows)


def _about(rows: Rows) -> str:
    first = max(rows, key=lambda row: row["n"])
    if not first["n"]:
        return "no zeroed scores"
    return f"{first['n']} images; {intervals_of(first)}"


def _table1(rows: Rows, full: bool, title: str = "") -> Cells:
    def cell(row: dict[str, Any], name: str, signed: bool = False, interval: bool = True) -> str:
        return interval_cell(row, name, signed) if interval else number(row[name], signed=signed)

    paper = next((row["paper_dataset"] for row in rows if row["paper_dataset"]), None)
    compared = any(row["test_minus_paper"] is not None for row in rows)
    mos = any(row["test"] is not None or row["n_mos"] for row in rows)
    fills = _with_fills(rows)
    header = ["model", "half by", *(["filled by"] if fills else []), *(["test"] if mos else [])]
    for half in ("important", "trivial"):
        header += [f"{half}: predicted", *(["MOS"] if mos else [])]
    header += ["trivial - important"] + (["MOS"] if full and mos else [])
    header += [f"paper on {paper}: test; important; trivial"] if paper else []
    header += ["less the paper's"] if compared else []
    header += ["n", "note"]
    lines = []
    for row in rows:
        name = f"{NAMES.get(row['ranking'], row['ranking'])}{' (default rule)' * row['default_rule']}"
        line = [row["model"], name, *([FILL_NAMES[row["fill"]]] if fills else [])]
        line += [cell(row, "test", interval=full)] if mos else []
        for half in ("important", "trivial"):
            line += [cell(row, half), *([cell(row, f"{half}_mos", interval=full)] if mos else [])]
        line += [cell(row, "difference", True)] + ([cell(row, "difference_mos", True)] if full and mos else [])
        line += [_five(row, "paper_{}", False)] if paper else []
        line += [_five(row, "{}_minus_paper", True)] if compared else []
        lines.append([*line, str(row["n"]), row["note"] or ""])
    return Cells(header, lines, title)


def _five(row: dict[str, Any], pattern: str, signed: bool) -> str:
    """Test; important predicted / MOS; trivial predicted / MOS."""
    if row[pattern.format("test")] is None and row[pattern.format("important")] is None:
        return ""
    said = {
        name: number(row[pattern.format(name)], signed=signed) or "-"
        for name in ("test", "important", "important_mos", "trivial", "trivial_mos")
    }
    return "{test}; {important} / {important_mos}; {trivial} / {trivial_mos}".format(**said)


def _averaged(rows: Rows, scopes: bool = False) -> Cells:
    compared = any(row["important_minus_paper"] is not None for row in rows)
    header = ["scope"] if scopes else []
    header += ["half by", "model", "important zeroed", "trivial zeroed", "trivial - important"]
    header += ["paper: important / trivial"] + (["less the paper's"] if compared else []) + ["n", "note"]
    lines = []
    for row in rows:
        line = [_scope(row["scope"])] if scopes else []
        line += [row["ranking"], f"mean of {row['models']} models" if row["model"] == MEAN else row["model"]]
        for name in ("important", "trivial", "difference"):
            line.append(interval_cell(row, name, signed=name == "difference"))
        line.append(_pair(row, "paper_{}", False))
        line += [_pair(row, "{}_minus_paper", True)] if compared else []
        lines.append([*line, str(row["n"]), row["note"] or ""])
    return Cells(header, lines)


def _pair(row: dict[str, Any], pattern: str, signed: bool) -> str:
    said = [number(row[pattern.format(half)], signed=signed) for half in ("important", "trivial")]
    return " / ".join(said) if all(said) else ""


TABLE1 = Page(
    schema.TABLE1,
    "Table I: half of the pixels zeroed",
    LEGEND,
    lambda rows: [_about(rows), _table1(rows, full=True)],
    _brief,
)
CONTROLS = Page(
    schema.TABLE1_CONTROLS,
    "Table I less its controls",
    ("PLCC of a row of Table I less that of a control, paired.", *LEGEND),
    _controls,
)
AVERAGED = Page(
    schema.AVERAGED_MEASURE,
    "Averaged measure: halves by the mean of saliency, frequency and objectness, zeroed",
    ("PLCC of the prediction with the half zeroed with the original prediction.",),
    lambda rows: [_averaged(rows)],
    _averaged_brief,
)
