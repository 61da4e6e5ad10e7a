"""What figures read of stored tables: the rows of one run, or what is missing and which job makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.config import RankSettings
from halfiqa_ray.statistics.bootstrap import no_interval
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.stored.reading import ALL, Run

Row = dict[str, Any]
# Shown in place of a rule that gives no halves; every model has it.
SUBSTITUTE = "score_change"
# Shown of the three frequency measures where it is there.
FREQUENCY = "frequency_csf_whitened"


class Missing(Exception):
    """What a figure needs is not stored. The text says what, and which job makes it."""


def rows_of(output: str, name: str, run: Run, columns: pa.Schema, job: str = "jobs/tables.py") -> list[Row]:
    """The rows of a run in ``tables/NAME.parquet``, in stored order; ``columns`` are those of ``schema``.

    ``job`` writes the table. Raises Missing when there are none, or they are of a version that lacks columns.
    """
    uri = storage.join(output, "tables", f"{name}.parquet")
    if not storage.exists(uri):
        raise Missing(f"there is no {uri}: {job} writes it")
    if lacking := [column for column in columns.names if column not in storage.read_schema(uri).names]:
        raise Missing(f"{uri} is of another version and lacks {', '.join(lacking)}: run {job} again")
    table = storage.read_table(uri, columns.names)
    rows = table.filter(pc.and_(pc.equal(table["dataset"], run.dataset), pc.equal(table["run"], run.key))).to_pylist()
    if not rows:
        raise Missing(f"{uri} has no rows of run {run.key} of {run.dataset}: run {job} again")
    return rows


def of_scope(rows: Iterable[Row], scope: str = ALL) -> list[Row]:
    """The rows of one scope."""
    return [row for row in rows if row["scope"] == scope]


def scope_of_test(rows: Iterable[Row]) -> str:
    """The scope of the test images: ``test``, else the first that begins so, else all images."""
    scopes = dict.fromkeys(row["scope"] for row in rows)
    return next((scope for scope in sorted(scopes) if scope.startswith("test")), ALL)


def column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """One column of some rows, NaN where it is null."""
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)


def there(row: Row, name: str) -> bool:
    """Whether a row has a number."""
    return row[name] is not None


def rule_with(rows: Sequence[Row], wanted: str, name: str, has: Callable[[Row], bool]) -> tuple[str, str]:
    """The rule to show, of those in the column ``name``, and what to say when it is not the wanted one.

    A rule counts as there when a row ``has`` what is to be drawn. Raises Missing when neither is there.
    """
    available = {row[name] for row in rows if has(row)}
    return substitute(wanted, available)


def substitute(wanted: str, available: set[str]) -> tuple[str, str]:
    """The wanted rule, or the one in its place and what to say of that. Raises Missing when neither is there."""
    if wanted in available:
        return wanted, ""
    if SUBSTITUTE in available:
        return SUBSTITUTE, f"{wanted} has no halves here; {SUBSTITUTE} is shown instead"
    raise Missing(f"no halves by {wanted} or by {SUBSTITUTE}: run jobs/rank.py and jobs/tables.py again")


def wanted_rule(output: str, run: Run, setting: str) -> str:
    """The rule that figures show: the setting rank.rule, or where that was left alone the default rule of the tables.

    So figures and tables agree when only the output is named.
    """
    if setting != RankSettings.model_fields["rule"].default:
        return setting
    try:
        rows = rows_of(output, "section2", run, schema.SECTION2)
    except Missing:
        return setting
    return next((row["name"] for row in rows if row["default_rule"]), setting)


def model_title(model: str | None) -> str:
    """The name of a model as the paper writes it, or as it is stored."""
    known = paper.paper_model(model or "")
    return paper.MODELS[known] if known else model or "unnamed model"


def in_order(models: Iterable[str]) -> list[str]:
    """The paper's models in its order, then others by name."""
    order = list(paper.MODELS)
    known = {model: paper.paper_model(model) for model in models}
    return sorted(known, key=lambda model: (order.index(name) if (name := known[model]) else len(order), model))


def about(run: Run, n: int, scope: str = ALL) -> str:
    """Data set, images, model and blocks, for captions."""
    images = f"{n:,} image{'s' * (n != 1)}" + (f" (split {scope})" if scope != ALL else "")
    made = "; synthetic data: scores come from a formula, not from people" if run.synthetic else ""
    return (
        f"{run.dataset}, {images}, {model_title(run.metadata.get('model'))}, {run.grid.rows} x {run.grid.columns} "
        f"blocks, rank run {run.key}{made}."
    )


def sentences(*said: str) -> str:
    """Some sentences as one text; empty ones are left out."""
    return " ".join(one for one in said if one)


def papers_measures(names: Iterable[str]) -> list[str]:
    """Of some measures those that Table II has, one frequency of three, and the average, in this order."""
    known = list(names)
    frequencies = [name for name in known if name.startswith("frequency")]
    left_out = set(frequencies) - {FREQUENCY if FREQUENCY in frequencies else name for name in frequencies[-1:]}
    order = ("saliency", "frequency", "objectness", "averaged")
    family = {name: name.partition("_")[0] for name in known}
    return sorted((n for n in known if family[n] in order and n not in left_out), key=lambda n: order.index(family[n]))


def substituted(measures: Iterable[str]) -> str:
    """What a caption says when the objectness of some measures is not the paper's."""
    found = [name for name in measures if name.startswith("objectness_") and name != "objectness_pixel"]
    return f"{', '.join(found)} stands in for the paper's objectness and is not it." if found else ""


def resampled(row: Row) -> str:
    """What the intervals of a row were made by."""
    few = no_interval(row["n"], row["resampled_units"], row["resampled"])
    return few or f"95% bootstrap intervals over {row['resampled_units']:,} {row['resampled']}s"
