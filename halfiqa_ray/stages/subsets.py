"""Stage: decoded photos in, rows of ``rank/`` out: the feature matrix once, every block subset, the halves.

Shape suffixes: N images, S subsets, K blocks, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.config import GridSettings
from halfiqa_ray.masking import games, importance
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.subset_scorer import SubsetScorer, SubsetScores
from halfiqa_ray.models.checkpoints import load_checkpoint
from halfiqa_ray.models.triq import Triq
from halfiqa_ray.stages.decode import batches, pixels_of

CARRIED = (
    "image_id",
    "split",
    "source_photo",
    "mos",
    "original_height",
    "original_width",
    "scored_height",
    "scored_width",
)


def output_schema(blocks: int) -> pa.Schema:
    """Rank columns, all nullable, and those of an error: a row has the one or the other."""
    fields = [f.with_nullable(True) for f in schema.rank(blocks)]
    return pa.schema([*fields, *(schema.ERRORS.field(name) for name in ("uri", "error", "message"))])


class ScoreSubsets:
    """Runs the backbone once a photo and scores every subset of blocks.

    Batches of ``batch_size`` photos of one size are always padded to that size, so that a row does not depend on its
    neighbours. ``threads`` (CPU) fixes torch's threads, on which sums may depend. ``done`` is called with the number
    of photos scored, as they are. Raises CheckpointError when the weights are others than ``planned_sha256``.
    """

    def __init__(
        self,
        checkpoint: str,
        grid: GridSettings,
        device: str = "cpu",
        batch_size: int = 1,
        threads: int = 0,
        done: Callable[[int], None] = lambda count: None,
        planned_sha256: str | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        model, self.record = load_checkpoint(checkpoint, device, planned_sha256, fold=True)
        if not isinstance(model, Triq):
            raise ValueError(f"{checkpoint} holds {self.record.model.name}; block subsets are scored with triq")
        self.model, self.device, self.batch_size, self.done = model, torch.device(device), batch_size, done
        self.grid = Grid(grid.rows, grid.columns)
        self.scorer = SubsetScorer(model, self.grid)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows with the columns of ``Decode`` to rows of ``output_schema``, in the same order."""
        errors = list(zip(rows["error"].to_pylist(), rows["message"].to_pylist(), strict=True))
        scores = _Collected(rows.num_rows, self.grid)
        for numbers, pixels_NHWC in batches(pixels_of(rows), self.batch_size):
            try:
                scores.put(numbers, self.score(pixels_NHWC))
            except ValueError as problem:  # more tokens than positions, or fewer than blocks
                for i in numbers:
                    errors[i] = ("does not fit the model", f"{rows['uri'][i]}: {problem}")
            self.done(len(numbers))
        for i in scores.not_finite():
            if errors[i][0] is None:
                errors[i] = ("score is not finite", f"{rows['uri'][i]}: the model gave a score that is not a number")
        good = np.array([error is None for error, _ in errors], dtype=bool)
        columns = scores.columns(good)
        columns |= {name: rows[name].combine_chunks() for name in (*CARRIED, "uri")}
        columns |= {"error": pa.array([e for e, _ in errors], pa.string())}
        columns |= {"message": pa.array([m for _, m in errors], pa.string())}
        wanted = output_schema(self.grid.blocks)
        return pa.table([columns[name] for name in wanted.names], schema=wanted)

    def score(self, pixels_NHWC: NDArray[np.uint8]) -> SubsetScores:
        """All subset scores of decoded photos of one size, uint8 (N, H, W, 3) with N at most ``batch_size``."""
        count = len(pixels_NHWC)
        padded = np.zeros((self.batch_size, *pixels_NHWC.shape[1:]), np.uint8)
        padded[:count] = pixels_NHWC
        with torch.inference_mode():
            images_NCHW = self.model.normalise(torch.from_numpy(padded).to(self.device))
            features_NCHW = self.model.feature_matrix(images_NCHW)[:count]
            return self.scorer(features_NCHW)


class _Collected:
    """The scores of a table's rows, gathered batch by batch."""

    def __init__(self, rows: int, grid: Grid) -> None:
        self.grid = grid
        self.scores_NS = np.full((rows, grid.subsets), np.nan, np.float32)
        self.level_plcc_NS = np.full((rows, grid.subsets), np.nan, np.float32)
        self.levels_N5 = np.full((rows, 5), np.nan, np.float32)
        self.has_levels = True

    def put(self, numbers: list[int], scored: SubsetScores) -> None:
        self.scores_NS[numbers] = scored.scores_NS.cpu().numpy()
        self.has_levels = scored.levels_N5 is not None
        if scored.levels_N5 is not None and scored.level_plcc_NS is not None:
            self.levels_N5[numbers] = scored.levels_N5.cpu().numpy()
            self.level_plcc_NS[numbers] = scored.level_plcc_NS.cpu().numpy()

    def not_finite(self) -> NDArray[np.intp]:
        return np.flatnonzero(~np.isfinite(self.scores_NS).all(1))

    def columns(self, good_N: NDArray[np.bool_]) -> dict[str, pa.Array]:
        """Arrow columns, null where ``good_N`` is False (and levels null for a scalar head)."""
        levelled_N = good_N & self.has_levels
        # An error row has NaN scores; zeros keep the arithmetic below quiet, and the columns null them.
        scores_NS = np.where(good_N[:, None], self.scores_NS, 0)
        values = {"shapley": games.shapley(scores_NS), "banzhaf": games.banzhaf(scores_NS)}
        importances_NK = importance.image_importance(self.grid, scores_NS, self.level_plcc_NS)
        columns: dict[str, Any] = {
            "score": pa.array(scores_NS[:, -1], pa.float32(), mask=~good_N),
            "subset_scores": _lists(scores_NS, good_N),
            "levels": _lists(self.levels_N5, levelled_N),
            "level_plcc": _lists(self.level_plcc_NS, levelled_N),
        }
        columns |= {name: _lists(value_NK, good_N) for name, value_NK in values.items()}
        for rule in schema.IMAGE_RULES:
            value_NK = importances_NK[rule]
            known_N = good_N & np.isfinite(value_NK).all(1)
            columns[f"importance_{rule}"] = _lists(value_NK, known_N)
            half_N = importance.important_half(value_NK)
            columns[f"important_{rule}"] = pa.array(half_N, pa.uint16(), mask=~known_N)
        return columns


def _lists(values_ND: NDArray[np.floating], there_N: NDArray[np.bool_]) -> pa.Array:
    """A float32 fixed-size list a row; null where not ``there_N``, and NaN elements null."""
    flat = np.ascontiguousarray(values_ND, np.float32).ravel()
    child = pa.array(flat, pa.float32(), from_pandas=True)
    return pa.FixedSizeListArray.from_arrays(child, values_ND.shape[1], mask=pa.array(~there_N))
