"""The comparison of halves by explanations with other halves, as text, from its stored rows only."""

from __future__ import annotations

from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables.averaged_measure import MEAN
from halfiqa_ray.tables.stored.reading import ALL
from halfiqa_ray.tables.table1_text import NAMES
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, interval_cell, intervals_of, main_scopes, number

LEGEND = (
    "Halves by Grad-CAM and LIME of the ranking model's score, or of each model's own, beside those by the ranking "
    "model's exact subset scores, by measures and by controls: PLCC of the prediction with that half of the pixels "
    "zeroed with the original prediction, on the same images. The larger trivial - important, the better a half says "
    "what matters.",
    "The paper gives no numbers for explanations: it shows two maps (Figure 1) and says that they do not explain TRIQ "
    "properly.",
)


def _section(rows: Rows) -> list[Part]:
    models = list(dict.fromkeys(row["model"] for row in rows))
    return [_table([row for row in rows if row["model"] == model], full=True) for model in models]


def _brief(rows: Rows) -> list[Part]:
    """Means over models, of the test splits and of all images that were explained."""
    scopes = {scope: [row for row in some if row["model"] == MEAN] for scope, some in main_scopes(rows).items()}
    if len(scopes) == 2 and len({tuple(row["n"] for row in some) for some in scopes.values()}) == 1:
        scopes.pop(ALL, None)  # the images that were explained are the one test split
    return [_table(some, full=False, scope=scope) for scope, some in scopes.items()]


def _table(rows: Rows, full: bool, scope: str | None = None) -> Cells:
    first = max(rows, key=lambda row: row["n"])
    whose = f"mean of {first['models']} models" if first["model"] == MEAN else first["model"]
    title = f"{'' if scope is None else f'{scope}: '}{whose}, {first['n']} images"
    mos = any(row["n_mos"] for row in rows)
    if mos:
        title += f"; original prediction with MOS {interval_cell(first, 'test') if full else number(first['test'])}"
    title += f"; {intervals_of(first)}"
    header = ["half by", "trivial zeroed", "important zeroed", "trivial - important", "less the random half's"]
    header += ["important less random's", "trivial less random's"] if full else []
    header += ["MOS: trivial", "MOS: important"] if mos else []
    header += ["MOS: trivial - important"] if full and mos else []
    return Cells([*header, "n", "note"], [_line(row, full, mos, first["models"]) for row in rows], title)


def _line(row: dict[str, Any], full: bool, mos: bool, models: int) -> list[str]:
    name = NAMES.get(row["ranking"], row["ranking"]) + " (default rule)" * row["default_rule"]
    if row["kind"] == "own explanation":
        name += ", own" if row["model"] == MEAN else " (own)"
    line = [name, interval_cell(row, "trivial"), interval_cell(row, "important")]
    line += [interval_cell(row, "difference", True), interval_cell(row, "difference_minus_random", True)]
    if full:
        line += [interval_cell(row, f"{half}_minus_random", True) for half in ("important", "trivial")]
    if mos:
        line += [(interval_cell if full else _bare)(row, f"{half}_mos") for half in ("trivial", "important")]
        line += [interval_cell(row, "difference_mos", True)] if full else []
    fewer = [f"mean of {row['models']} models"] if row["models"] != models else []
    return [*line, str(row["n"]), "; ".join([*fewer, *filter(None, [row["note"]])])]


def _bare(row: dict[str, Any], name: str) -> str:
    return number(row[name])


PAGE = Page(
    schema.EXPLANATIONS_TABLE,
    "Do explanations find what matters? Halves by explanations, zeroed",
    LEGEND,
    _section,
    _brief,
)
