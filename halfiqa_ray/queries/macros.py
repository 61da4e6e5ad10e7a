"""What SQL gets beside DuckDB's own functions: block masks, subset scores and the project's correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from halfiqa_ray.masking.grid import MAXIMUM_BLOCKS
from halfiqa_ray.statistics.pearson import SMALLEST_SPREAD
from halfiqa_ray.statistics.spearman import spearman

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Of the rows with both values: whether the first varies, by the rule in ``statistics/pearson.py``.
_VARIES = (
    "stddev_pop(CASE WHEN {1} IS NOT NULL THEN {0}::DOUBLE END) > "
    f"{SMALLEST_SPREAD} * greatest(1, abs(avg(CASE WHEN {{1}} IS NOT NULL THEN {{0}}::DOUBLE END)))"
)


@dataclass(frozen=True)
class Macro:
    """A function of SQL: how it is called, its body, and what it gives."""

    call: str
    body: str
    gives: str


MACROS = (
    Macro(
        "kept(mask, block)",
        "(mask::BIGINT >> block) & 1 = 1",
        "whether a subset keeps a block; blocks count from 0, row by row from the top left",
    ),
    Macro(
        "is_important(half, block)",
        "(half::BIGINT >> block) & 1 = 1",
        "whether a block is in an important half (important_RULE), or in high_blocks or zeroed_blocks",
    ),
    Macro("block_count(mask)", "bit_count(mask::BIGINT)", "how many blocks a mask has"),
    Macro(
        "complement(mask, blocks)",
        "xor(mask::BIGINT, (1::BIGINT << blocks) - 1)",
        "the other blocks, of so many (the column `blocks`): for an important half the trivial one",
    ),
    Macro(
        "mask_of(list)",
        "list_reduce(list_transform(list, lambda block: 1::BIGINT << block), lambda a, b: a | b, 0::BIGINT)",
        "the mask of the blocks in a list, such as [0, 1, 4, 5]",
    ),
    Macro(
        "blocks_of(mask)",
        f"CASE WHEN mask IS NOT NULL THEN list_filter(range({MAXIMUM_BLOCKS}), "
        "lambda block: (mask::BIGINT >> block) & 1 = 1) END",
        "the blocks of a mask as a list",
    ),
    Macro(
        "subset_score(subset_scores, mask)",
        "subset_scores[mask::BIGINT + 1]",
        "the score with only the blocks of the mask kept (items of a list count from 1, masks from 0)",
    ),
    Macro(
        "plcc(x, y)",
        f"CASE WHEN {_VARIES.format('x', 'y')} AND {_VARIES.format('y', 'x')} THEN corr(x::DOUBLE, y::DOUBLE) END",
        "Pearson's correlation over rows, null where a side does not vary; an aggregate without FILTER and OVER: write "
        "plcc(CASE WHEN condition THEN x END, y)",
    ),
    Macro(
        "srcc(x, y)",
        "_spearman(list(x::DOUBLE), list(y::DOUBLE))",
        "Spearman's rank correlation over rows, ties sharing their average rank; otherwise as plcc",
    ),
)
# These give rows and stand after FROM.
TABLE_MACROS = (
    Macro(
        "unnest_subsets(source := 'rank')",
        "SELECT *, block_count(subset) AS kept_blocks FROM (SELECT dataset, run, image_id, split, mos, "
        "blocks, score AS whole_score, unnest(range(len(subset_scores))) AS subset, unnest(subset_scores) AS score "
        "FROM query_table(source))",
        "a row an image and subset, made while they are read: dataset, run, image_id, split, mos, blocks, whole_score, "
        "subset, score, kept_blocks; source may be 'rank_all' or a view of yours",
    ),
)


def define_macros(connection: DuckDBPyConnection) -> None:
    """Make all of them known to a connection."""
    # Ranks in SQL, windows over lists, took 157 s for 20,000 rows; this takes 0.2 s.
    kinds = {"type": "arrow", "null_handling": "special"}
    connection.create_function("_spearman", _spearman, ["DOUBLE[]", "DOUBLE[]"], "DOUBLE", **kinds)  # type: ignore[call-overload]
    for macro in MACROS:
        connection.execute(f"CREATE MACRO {macro.call} AS {macro.body}")
    for macro in TABLE_MACROS:
        connection.execute(f"CREATE MACRO {macro.call} AS TABLE {macro.body}")


def _spearman(x: pa.ChunkedArray, y: pa.ChunkedArray) -> pa.Array:
    """Rank correlation of the two lists of every row, over the places where both have a number."""
    found: list[float | None] = []
    for one, other in zip(x, y, strict=True):
        if not (one.is_valid and other.is_valid):
            found.append(None)
            continue
        a_N, b_N = (np.asarray(each.values.to_numpy(zero_copy_only=False), np.float64) for each in (one, other))
        there_N = np.isfinite(a_N) & np.isfinite(b_N)
        found.append(float(spearman(a_N[there_N][None], b_N[there_N])[0]))
    return pa.array(found, pa.float64(), from_pandas=True)
