"""What a look at one photo gives.

Shape suffixes: S = 2^B subsets, K = B blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.data.photos.decoding import resize
from halfiqa_ray.looking.model import LoadedModel
from halfiqa_ray.looking.photos import Picture
from halfiqa_ray.masking.games import shapley
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import image_importance, important_half
from halfiqa_ray.masking.subset_scorer import SubsetScores
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.report.names import printable
from halfiqa_ray.report.scale import digits

if TYPE_CHECKING:
    from halfiqa_ray.report.figures.one_photo import Figure

LONGEST = 400  # side of the small picture, pixels


@dataclass(frozen=True, eq=False)
class Look:
    """One photo, its scores with every subset of its blocks kept, and the halves by one rule. All scores are exact.

    A subset is the bit mask of its *kept* blocks, bit b for block b, row by row from the top left, and the index into
    ``scores``. Scores and Shapley values are in the MOS units of ``mos_scale``.
    """

    name: str
    model: str
    grid: Grid
    rule: str
    important: int  # the half that the rule calls important
    scores: NDArray[np.float32] = field(repr=False)  # (2^B,)
    shapley: NDArray[np.float64] = field(repr=False)  # (B,)
    levels: NDArray[np.float32] | None = field(repr=False)  # five shares of votes, bad to excellent; or none
    importance: dict[str, NDArray[np.float64]] = field(repr=False)  # by every rule that gives the photo a half: (B,)
    mos_scale: MosScale
    synthetic: bool  # the model learned made-up scores
    height: int  # of the photo, pixels
    width: int
    picture: NDArray[np.uint8] = field(repr=False)  # the photo, small: (H, W, 3)

    @property
    def score(self) -> float:
        """The score of the whole photo."""
        return float(self.scores[self.grid.full])

    @property
    def trivial(self) -> int:
        """The other half."""
        return self.grid.full ^ self.important

    @property
    def important_score(self) -> float:
        """The score with only the important half kept."""
        return self.score_of(self.important)

    @property
    def trivial_score(self) -> float:
        """The score with only the trivial half kept."""
        return self.score_of(self.trivial)

    @property
    def important_grid(self) -> NDArray[np.bool_]:
        """True where a block belongs to the important half: (rows, columns)."""
        return self.as_grid(self.important)

    @property
    def trivial_grid(self) -> NDArray[np.bool_]:
        """True where a block belongs to the trivial half: (rows, columns)."""
        return self.as_grid(self.trivial)

    @property
    def shapley_grid(self) -> NDArray[np.float64]:
        """What each block adds to the score on average over all orders: (rows, columns)."""
        return self.shapley.reshape(self.grid.rows, self.grid.columns)

    @cached_property
    def best(self) -> int:
        """The half that, kept alone, comes nearest to the whole photo's score; of equal ones the lowest bit mask."""
        return self._extreme(self.grid.blocks // 2, farthest=False)

    @cached_property
    def worst(self) -> int:
        """The half that goes farthest from it. With an odd number of blocks it is the larger one, as the trivial is."""
        return self._extreme(self.grid.blocks - self.grid.blocks // 2, farthest=True)

    @property
    def best_score(self) -> float:
        """The score with only the best half kept."""
        return self.score_of(self.best)

    @property
    def worst_score(self) -> float:
        """The score with only the worst half kept."""
        return self.score_of(self.worst)

    @property
    def halves(self) -> dict[str, int]:
        """The important half by every rule that gives one."""
        return {rule: int(important_half(values_K[None])[0]) for rule, values_K in self.importance.items()}

    def score_of(self, kept: int) -> float:
        """The score with only these blocks kept. Raises IndexError for a mask with a block that the grid has not."""
        if not 0 <= kept <= self.grid.full:
            raise IndexError(f"there is no subset {kept} of {self.grid.rows} x {self.grid.columns} blocks")
        return float(self.scores[kept])

    def as_grid(self, kept: int) -> NDArray[np.bool_]:
        """Which blocks a subset keeps: (rows, columns)."""
        return (kept >> np.arange(self.grid.blocks) & 1).astype(bool).reshape(self.grid.rows, self.grid.columns)

    @property
    def digits(self) -> int:
        """Decimals that scores are written with."""
        return digits(self.mos_scale.low, self.mos_scale.high)

    def plot(self) -> Figure:
        """A matplotlib figure: the photo, its two halves with their scores, and the Shapley values."""
        from halfiqa_ray.looking.plot import plot  # matplotlib takes long to import

        return plot(self)

    def __str__(self) -> str:
        """The same as `halfiqa look` prints."""
        from halfiqa_ray.looking.terminal import drawn

        return "\n".join(drawn(self))

    def _repr_html_(self) -> str:
        from halfiqa_ray.looking.notebook import as_html

        return as_html(self)

    def _extreme(self, size: int, farthest: bool) -> int:
        subsets = np.flatnonzero(self.grid.sizes() == size)
        change = np.abs(self.scores[subsets].astype(np.float64) - self.score)
        return int(subsets[change.argmax() if farthest else change.argmin()])


def make_look(picture: Picture, model: LoadedModel, grid: Grid, scored: SubsetScores, rule: str | None) -> Look:
    """The result from all scores of one photo. Raises ValueError for a rule that gives the photo no half."""
    scores_S = scored.scores_NS[0].cpu().numpy()
    plcc_NS = None if scored.level_plcc_NS is None else scored.level_plcc_NS.cpu().numpy()
    importance = {
        name: values_NK[0]
        for name, values_NK in image_importance(grid, scores_S[None], plcc_NS).items()
        if np.isfinite(values_NK).all()
    }
    chosen = rule or next(iter(importance))
    if chosen not in importance:
        raise ValueError(
            f"{printable(picture.name)}: the rule {chosen} gives this photo no half; these do: {', '.join(importance)}"
        )
    for array in (scores_S, *importance.values()):
        array.flags.writeable = False
    height, width = picture.pixels.shape[:2]
    shrink = min(1.0, LONGEST / max(height, width))
    return Look(
        name=picture.name,
        model=model.name,
        grid=grid,
        rule=chosen,
        important=int(important_half(importance[chosen][None])[0]),
        scores=scores_S,
        shapley=shapley(scores_S[None])[0],
        levels=None if scored.levels_N5 is None else scored.levels_N5[0].cpu().numpy(),
        importance=importance,
        mos_scale=model.record.mos_scale,
        synthetic=model.record.synthetic,
        height=height,
        width=width,
        picture=resize(picture.pixels, max(1, round(height * shrink)), max(1, round(width * shrink))),
    )
