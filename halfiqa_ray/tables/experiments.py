"""The paper's experiments and what goes beyond them, from stored rows of one run to files and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from halfiqa_ray import storage
from halfiqa_ray.tables import paper, table1_text, table2_text
from halfiqa_ray.tables.averaged_measure import averaged_measure
from halfiqa_ray.tables.beyond import (
    agreement,
    blocks_text,
    explanations_text,
    faithfulness_text,
    fills_text,
    own_halves_text,
    shapley_estimates_text,
    sufficiency_text,
)
from halfiqa_ray.tables.beyond.explanations import explanations
from halfiqa_ray.tables.beyond.faithfulness import (
    changes,
    faithfulness,
    faithfulness_curves,
    filled_changes,
    order_curves,
)
from halfiqa_ray.tables.beyond.fills import filled_halves, fills, masked_curves
from halfiqa_ray.tables.beyond.interactions import interactions
from halfiqa_ray.tables.beyond.own_halves import own_halves
from halfiqa_ray.tables.beyond.positions import positions
from halfiqa_ray.tables.beyond.shapley_estimates import shapley_estimates
from halfiqa_ray.tables.beyond.sufficiency import sufficiency
from halfiqa_ray.tables.build import RunTables
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored import curves
from halfiqa_ray.tables.stored.derived import (
    Explained,
    Measured,
    Zeroed,
    read_explanations,
    read_fills,
    read_measures,
    why_not_zeroed,
)
from halfiqa_ray.tables.stored.reading import ALL, Images, Run, find_runs, read_images
from halfiqa_ray.tables.stored.scan import Mapper, in_process
from halfiqa_ray.tables.stored.second_pass import scan_all
from halfiqa_ray.tables.table1 import correlate_zeroed, table1, table1_controls, without_explanations
from halfiqa_ray.tables.table2 import MatchedRun, matched_run, table2, together
from halfiqa_ray.tables.writing import is_blank, why_blank, with_learned_from, write_table

# How each table is told, in the order in which they are read.
PAGES = {
    "table1": table1_text.TABLE1,
    "table1_controls": table1_text.CONTROLS,
    "averaged_measure": table1_text.AVERAGED,
    "explanations": explanations_text.PAGE,
    "table2": table2_text.PAGE,
    "matching_histogram": table2_text.HISTOGRAM,
    "sufficiency": sufficiency_text.PAGE,
    "sufficient_fraction": sufficiency_text.FRACTION,
    "own_halves": own_halves_text.PAGE,
    "fills": fills_text.PAGE,
    "faithfulness": faithfulness_text.PAGE,
    "faithfulness_curves": faithfulness_text.CURVES,
    "shapley_estimates": shapley_estimates_text.PAGE,
    "agreement": blocks_text.AGREEMENT,
    "positions": blocks_text.POSITIONS,
    "position_bias": blocks_text.BIAS,
    "interaction": blocks_text.INTERACTION,
    "interaction_distance": blocks_text.DISTANCE,
}
Tables = dict[str, pa.Table]  # by their names in ``PAGES``


def make_experiments(
    output: str,
    run: Run,
    images: Images,
    made: RunTables,
    rule: str,
    resampling: Resampling,
    mapper: Mapper = in_process,
) -> Tables:
    """All tables of ``PAGES`` of one run. What was not measured or zeroed is blank and named in them.

    ``made`` are the run's tables of Section 2. Table II also counts the images together with those of the newest runs
    of the other data sets below ``output`` (`other_runs`).
    """
    measures, missing = read_measures(output, run, images)
    models, filled = read_fills(output, run, images)
    explained = read_explanations(output, run, images, models)
    ours = matching(run, images, measures, missing, made.dataset_importance, resampling.seed)
    others = [_matching_of_other(output, other, resampling.seed) for other in other_runs(output, run)]
    tables = {
        **zeroing_tables(output, run, images, models, rule, resampling, mapper, filled),
        "explanations": explanations(run, images, models, explained, rule, resampling, mapper),
        **table2_tables(ours, others, rule, resampling),
        **stored_score_tables(run, images, made, measures, models, rule, resampling, mapper, explained, filled),
    }
    return _told(tables, run, models)


def explanation_tables(
    output: str, run: Run, images: Images, rule: str, resampling: Resampling, mapper: Mapper = in_process
) -> Tables:
    """Those of `make_experiments` that hang on explanations, or on the halves that are zeroed beside theirs."""
    measures = read_measures(output, run, images)[0]
    models, filled = read_fills(output, run, images)
    explained = read_explanations(output, run, images, models)
    by_rule = agreement.rule_weights(curves.read_importance(images, run.grid), images.halves)
    orders = _orders(by_rule, measures, explained)
    along = order_curves(run.grid, [one for _, one in orders])
    ranker = _ranker(run, models, filled)
    halves = filled_halves(list(ranker.values()))
    scanned = scan_all(images, run.grid, [*along, *masked_curves(run.grid, halves)], [0], mapper)
    masked_NC = scanned.picked_NC[:, len(along) * run.grid.blocks :]
    moved = changes(run, images, orders, along, scanned)
    moved += filled_changes([model for some in (models, *filled.values()) for model in some])
    tables = {
        **zeroing_tables(output, run, images, models, rule, resampling, mapper, filled),
        "explanations": explanations(run, images, models, explained, rule, resampling, mapper),
        "fills": fills(run, images, ranker, halves, masked_NC, rule, resampling),
        "faithfulness": faithfulness(run, images, moved, rule, resampling),
        "faithfulness_curves": faithfulness_curves(run, images, moved, rule, resampling),
        "agreement": _agreement(run, images, by_rule, measures, models, explained, resampling),
    }
    return _told(tables, run, models)


def _told(tables: Tables, run: Run, models: Sequence[Zeroed]) -> Tables:
    """The tables with what the models behind them learned from: the one that ranks, and those that were zeroed."""
    of_models = {model.model: model.trained_on for model in models}
    ranks = {str(run.metadata.get("model")): run.metadata.get("trained_on")}
    learned_from = {name: of_models.get(name) or ranks.get(name) for name in (ranks | of_models)}
    return {
        name: with_learned_from(table, learned_from) if "learned_from" in table.column_names else table
        for name, table in tables.items()
    }


def other_runs(output: str, run: Run) -> list[Run]:
    """The newest run of every other data set that can be counted together with a run.

    It has the same grid, its model was trained under the same name (not, say, the untrained control), and both or
    neither are synthetic.
    """
    folder = storage.join(output, "rank")
    names = {file[len(folder) + 1 :].split("/")[0] for file in storage.list_files(folder, ".parquet", recursive=True)}
    datasets = sorted({name.removeprefix("dataset=") for name in names if name.startswith("dataset=")} - {run.dataset})
    alike = [[other for other in find_runs(output, dataset) if _alike(other) == _alike(run)] for dataset in datasets]
    return [runs[0] for runs in alike if runs]


def _alike(run: Run) -> tuple[Any, ...]:
    return run.grid, run.synthetic, run.metadata.get("model"), run.metadata.get("checkpoint_run")


def _matching_of_other(output: str, run: Run, seed: int) -> MatchedRun:
    images = read_images(run)
    uri = storage.join(output, "tables", "dataset_importance.parquet")
    importance = storage.read_table(uri) if storage.exists(uri) else None
    if importance is not None:
        importance = importance.filter(
            pc.and_(pc.equal(importance["run"], run.key), pc.equal(importance["dataset"], run.dataset))
        )
    return matching(run, images, *read_measures(output, run, images), importance if importance else None, seed)


def zeroing_tables(
    output: str,
    run: Run,
    images: Images,
    models: list[Zeroed],
    rule: str,
    resampling: Resampling,
    mapper: Mapper = in_process,
    filled: Mapping[str, list[Zeroed]] = MappingProxyType({}),
) -> Tables:
    """Table I, its controls, the averaged-measure experiment, and models' own halves.

    Models without rows are named with the reason. ``filled`` are the models with halves by other fills than zero, by
    fill.
    """
    models = without_explanations(models)
    correlated = correlate_zeroed(images, models, resampling, mapper)
    there = {paper.paper_model(model.model) for model in models}
    missing = {name: why_not_zeroed(output, run, name) for name in paper.MODELS if name not in there}
    of_fills = [
        (others, correlate_zeroed(images, others, resampling, mapper))
        for others in (without_explanations(some) for some in filled.values())
    ]
    return {
        "table1": table1(run, models, correlated, rule, resampling, missing, of_fills),
        "table1_controls": table1_controls(run, models, correlated, of_fills),
        "averaged_measure": averaged_measure(run, models, correlated),
        "own_halves": own_halves(run, images, models, rule, resampling),
    }


def stored_score_tables(
    run: Run,
    images: Images,
    made: RunTables,
    measures: list[Measured],
    models: list[Zeroed],
    rule: str,
    resampling: Resampling,
    mapper: Mapper = in_process,
    explained: Sequence[Explained] = (),
    filled: Mapping[str, list[Zeroed]] = MappingProxyType({}),
) -> Tables:
    """What comes of stored scores beyond the paper's tables. Reads the scores of all subsets once more.

    ``filled`` are the models with halves by other fills than zero, by fill.
    """
    grid = run.grid
    importance = curves.read_importance(images, grid)
    by_rule = agreement.rule_weights(importance, images.halves)
    plcc = _subset_plcc(made, grid.subsets)
    fixed = {
        row["scope"]: curves.fixed_curves(
            grid,
            plcc[row["scope"]][0],
            np.array([np.nan if v is None else v for v in row["importance"]]),
            row["important"] or 0,
        )
        for row in made.dataset_importance.to_pylist()
    }
    orders = _orders(by_rule, measures, explained)
    along = order_curves(grid, [one for _, one in orders])
    per_image = along[: 2 * len(by_rule)]  # the rules come first, each from either end
    wanted = [subset for some in fixed.values() for curve in some for subset in curve.kept or ()]
    ranker = _ranker(run, models, filled)
    halves = filled_halves(list(ranker.values()))
    scanned = scan_all(images, grid, [*along, *masked_curves(grid, halves)], [*wanted, 0], mapper)
    masked_NC = scanned.picked_NC[:, len(along) * grid.blocks :]
    moved = changes(run, images, orders, along, scanned)
    moved += filled_changes([model for some in (models, *filled.values()) for model in some])
    curve_table, fractions = sufficiency(run, images, per_image, fixed, scanned, plcc, rule, resampling, mapper)
    position, bias = positions(run, images, by_rule, rule, resampling)
    pairs, distances = interactions(run, images, scanned.interaction_NP, resampling)
    return {
        "sufficiency": curve_table,
        "sufficient_fraction": fractions,
        "fills": fills(run, images, ranker, halves, masked_NC, rule, resampling),
        "faithfulness": faithfulness(run, images, moved, rule, resampling),
        "faithfulness_curves": faithfulness_curves(run, images, moved, rule, resampling),
        "shapley_estimates": shapley_estimates(run, images, resampling, importance["shapley"], mapper),
        "agreement": _agreement(run, images, by_rule, measures, models, explained, resampling),
        "positions": position,
        "position_bias": bias,
        "interaction": pairs,
        "interaction_distance": distances,
    }


def _ranker(run: Run, models: Sequence[Zeroed], filled: Mapping[str, Sequence[Zeroed]]) -> dict[str, Zeroed]:
    """By fill the zeroed scores of the very model that ranks."""
    weights = run.metadata.get("checkpoint_sha256")
    return {
        one.fill: one
        for some in (models, *filled.values())
        for one in some
        if one.model == run.metadata.get("model") and (None in (weights, one.weights) or weights == one.weights)
    }


def _orders(
    by_rule: Sequence[agreement.Weights], measures: Sequence[Measured], explained: Sequence[Explained]
) -> list[tuple[str, agreement.Weights]]:
    """Everything that orders the blocks of an image, with its kind; the rules first."""
    found = [("rule", one) for one in by_rule]
    found += [("measure", agreement.measure_weights(one)) for one in measures]
    return found + [("explanation", agreement.measure_weights(one)) for one in explained]


def _agreement(
    run: Run,
    images: Images,
    by_rule: list[agreement.Weights],
    measures: Sequence[Measured],
    models: Sequence[Zeroed],
    explained: Sequence[Explained],
    resampling: Resampling,
) -> pa.Table:
    single = {model.model: model for model in models}
    names = [*single, *(name for name in paper.MODELS if name not in {paper.paper_model(model) for model in single})]
    of_models = [agreement.model_weights(name, single.get(name), run.grid.blocks, len(images)) for name in names]
    of_measures, of_explanations = ([agreement.measure_weights(one) for one in some] for some in (measures, explained))
    return agreement.agreement(run, images, by_rule, of_measures, of_models, resampling, of_explanations)


def matching(
    run: Run, images: Images, measures: list[Measured], missing: str, importance: pa.Table | None, seed: int
) -> MatchedRun:
    """The matching numbers of one run, by every rule; ``importance`` is its table ``dataset_importance``.

    ``measures`` and ``missing`` are what `read_measures` gives.
    """
    halves = dict(images.halves)
    if importance is not None:
        whole = next(row["important"] for row in importance.to_pylist() if row["scope"] == ALL)
        halves["image_plcc"] = np.full(len(images), whole or 0, np.int64)
    return matched_run(run, images, halves, measures, missing, seed)


def table2_tables(found: MatchedRun, others: list[MatchedRun], rule: str, resampling: Resampling) -> Tables:
    """Table II of a run, and of its images together with those of runs of other data sets, in one table."""
    every = sorted([found, *others], key=lambda one: one.dataset)
    both = [found, together(every)] if others else [found]
    made = [table2(one, rule, resampling) for one in both]
    return {
        "table2": pa.concat_tables([one[0] for one in made]),
        "matching_histogram": pa.concat_tables([one[1] for one in made]),
    }


def write_tables(output: str, tables: Mapping[str, pa.Table]) -> None:
    """Write tables as Parquet, CSV and Markdown below ``output``/tables, beside those of other runs."""
    for name, table in tables.items():
        write_table(output, name, table, PAGES[name].markdown)


def console(tables: Mapping[str, pa.Table]) -> str:
    """The main tables of one run for a terminal; those that are blank in one line."""
    first = tables["table2"]["dataset"][0]
    of_run = pc.equal(tables["table2"]["dataset"], first)
    together = tables["table2"].filter(pc.invert(of_run))
    shown = [(name, tables[name]) for name in ("table1", "averaged_measure", "explanations")]
    shown += [("table2", tables["table2"].filter(of_run)), *([("table2", together)] if together.num_rows else [])]
    shown += [(name, tables[name]) for name in ("sufficiency", "sufficient_fraction", "position_bias")]
    texts, blank = [], []
    for name, table in shown:
        rows = table.to_pylist()
        if is_blank(rows):
            blank.append(f"No {name}: {why_blank(rows)}")
        else:
            texts.append(PAGES[name].console(table))
    return "\n\n".join([*texts, *(["\n".join(blank)] if blank else [])])


def _subset_plcc(made: RunTables, subsets: int) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """PLCC of every subset by scope, with the unmasked prediction and with MOS; NaN where there is none."""
    statistics = made.subset_statistics
    scopes = statistics["scope"].to_pylist()[::subsets]
    columns = [statistics[name].to_numpy().astype(np.float64) for name in ("plcc", "plcc_mos")]
    return {
        scope: (columns[0][i * subsets : (i + 1) * subsets], columns[1][i * subsets : (i + 1) * subsets])
        for i, scope in enumerate(scopes)
    }
