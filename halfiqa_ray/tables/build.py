"""All tables of one run of the rank job, from its stored rows to files and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.tables import section2, section2_text
from halfiqa_ray.tables.section2 import Masked, Picked, Resampling
from halfiqa_ray.tables.stored.curves import UNDEFINED
from halfiqa_ray.tables.stored.gather import Scores, pick_scores, rank_correlations, scan_scores
from halfiqa_ray.tables.stored.reading import Images, Run, read_images
from halfiqa_ray.tables.stored.scan import Mapper, in_process
from halfiqa_ray.tables.stored.subset_statistics import (
    ScopeStatistics,
    dataset_importance,
    image_plcc_split,
    subset_statistics,
)
from halfiqa_ray.tables.writing import table_of, with_learned_from, write_table


@dataclass(frozen=True)
class RunTables:
    """The tables of one run, with the columns of the schemas of the same names."""

    subset_statistics: pa.Table
    dataset_importance: pa.Table
    section2: pa.Table


def make_run_tables(
    run: Run,
    rule: str = "level_plcc",
    resampling: Resampling = Resampling(),  # noqa: B008 (frozen)
    mapper: Mapper = in_process,
    workers: int = 1,
    images: Images | None = None,
) -> RunTables:
    """Compute the tables of a run. ``mapper`` runs pieces of work, ``workers`` says how many at a time.

    Memory: in this process about 6 kB an image (bootstrap sums); in each worker ``gather.CHUNK_BYTES`` and some
    batches of scores. Raises ValueError when the run has no images.
    """
    images = read_images(run) if images is None else images
    if not len(images):
        raise ValueError(f"run {run.key} of {run.dataset} has no images")
    picked = section2.picked_halves(run, images, rule, resampling.seed)
    kept = [kept for way in picked for kept in (way.kept_trivial_masked, way.kept_important_masked)]
    scores = scan_scores(images, run.grid, np.stack(kept, axis=1), mapper)
    srcc = rank_correlations(images, run.grid, mapper, workers)
    statistics = [
        ScopeStatistics(scope, scores.against_score[scope], scores.against_mos[scope], *srcc[scope])
        for scope in images.scopes()
    ]
    return RunTables(
        subset_statistics(run, statistics),
        dataset_importance(run, statistics),
        with_learned_from(
            _section2(run, images, picked, scores, statistics, rule, resampling, mapper),
            {str(run.metadata.get("model")): run.metadata.get("trained_on")},
        ),
    )


def write_run_tables(output: str, tables: RunTables) -> str:
    """Write a run's tables below ``output``/tables, beside those of other runs; returns text to print."""
    write_table(output, "subset_statistics", tables.subset_statistics)
    write_table(output, "dataset_importance", tables.dataset_importance)
    write_table(output, "section2", tables.section2, section2_text.PAGE.markdown)
    return f"{section2_text.PAGE.console(tables.section2)}\nTables are in {storage.join(output, 'tables')}"


def _section2(
    run: Run,
    images: Images,
    picked: Sequence[Picked],
    scores: Scores,
    statistics: Sequence[ScopeStatistics],
    rule: str,
    resampling: Resampling,
    mapper: Mapper,
) -> pa.Table:
    fixed = {
        found.scope: section2.fixed_halves(run.grid, found.against_score.plcc(), image_plcc_split(run, found)[1])
        for found in statistics
    }
    wanted = sorted({subset for ways in fixed.values() for kept in ways.values() if kept for subset in kept})
    of_subset = pick_scores(images, run.grid, wanted, mapper)
    of_subset[UNDEFINED] = np.full(len(images), np.nan)
    groups_N = images.groups()
    scopes, work = {}, []
    for scope, at in images.scopes().items():
        masked = [Masked.of(way, *scores.picked_NP[at, 2 * i : 2 * i + 2].T) for i, way in enumerate(picked)]
        for name, kept in fixed[scope].items():
            trivial, important = kept or (UNDEFINED, UNDEFINED)
            masked.append(section2.fixed_row(name, of_subset[trivial][at], of_subset[important][at], kept))
        masked.append(section2.oracle_row(scores.least_N[at], scores.most_N[at]))
        sample = section2.Sample(images.score_N[at], images.mos_N[at], groups_N[at], images.of_photos)
        scopes[scope] = masked, sample
        work += section2.correlations_wanted(masked, sample, resampling)
    found = list(mapper(section2.correlate, work))
    rows: list[dict[str, Any]] = []
    for (scope, (masked, sample)), pair in zip(scopes.items(), zip(found[::2], found[1::2], strict=True), strict=True):
        rows += section2.table_rows(run, scope, masked, sample, pair, rule, resampling)
    return table_of(rows, schema.SECTION2)
