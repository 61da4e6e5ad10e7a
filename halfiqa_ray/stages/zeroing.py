"""Stage: decoded photos and the halves of their blocks in, the scores of every model with a half zeroed out.

Section 4.1 of the paper, and fills other than zero. Shape suffixes: N images, H and W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from halfiqa_ray import schema
from halfiqa_ray.config import GridSettings
from halfiqa_ray.masking.fills import BACKGROUNDS, background, fill_blocks
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import important_half
from halfiqa_ray.masking.zeroing import zero_blocks
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.passes import Passes
from halfiqa_ray.models.sources import Source, load, uri_of
from halfiqa_ray.stages.decode import batches, pixels_of

# What is asked of a row: a model (its number), a ranking (null: the photo as it is), a fill (then NOT_FILLED).
WORK = pa.list_(
    pa.struct([pa.field("model", pa.int32()), pa.field("ranking", pa.string()), pa.field("fill", pa.string())])
)
# The column that this stage adds.
ZEROED = pa.list_(
    pa.struct(
        [
            pa.field("model", pa.int32()),
            pa.field("ranking", pa.string()),
            pa.field("zeroed_half", pa.string()),
            pa.field("zeroed_blocks", pa.uint16()),
            pa.field("fill", pa.string()),
            pa.field("score", pa.float32()),
        ]
    )
)
# The orders that are known: a ranking (order_...), and its first 1 .. B blocks as bit masks.
ORDERS = pa.list_(pa.struct([pa.field("ranking", pa.string()), pa.field("first", pa.list_(pa.uint16()))]))
Halves = dict[str, int]  # ranking: important half, bit set = block is important
_Variant = tuple[str | None, str, str, int]  # ranking, half, fill, zeroed blocks


@dataclass
class Found:
    """Of one image: rows to store (fields of ``ZEROED``), and what went wrong."""

    rows: list[dict[str, Any]]
    error: str | None = None
    message: str | None = None


def variants(work: Sequence[dict[str, Any]] | None, blocks: int) -> int:
    """How many predictions some ``WORK`` of one image asks for, with equal masks counted as often as they are named."""
    count = {None: 1, schema.SINGLE_BLOCK: blocks, schema.OCCLUSION: blocks + 2}
    along = 2 * blocks - 1
    rankings = [asked["ranking"] for asked in work or ()]
    return sum(along if (r or "").startswith(schema.ORDER) else count.get(r, 2) for r in rankings)


class ScoreZeroed:
    """Predicts photos as they are and with each half of their blocks set to zero, by any number of models.

    Each model sees photos at its checkpoint's input size. Masks that are equal are run once an image and model. Batches
    are always padded to ``batch_size``, so that a score does not depend on what else is scored; ``threads`` (CPU)
    fixes torch's threads, on which sums may depend. ``precision`` and ``compiled`` are those of `Passes`; ``told``
    is called once a model whose passes are not plain: its name, the change by half precision, why it is not compiled.
    Raises CheckpointError when a checkpoint's weights have another SHA-256 than is ``planned`` for it.
    """

    def __init__(
        self,
        checkpoints: Sequence[Source],
        grid: GridSettings,
        device: str = "cpu",
        batch_size: int = 1,
        threads: int = 0,
        planned: Mapping[str, str] = MappingProxyType({}),
        precision: str = "float32",
        compiled: bool = False,
        told: Callable[[str, float | None, str], None] = lambda name, change, why: None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.grid, self.device, self.batch_size = Grid(grid.rows, grid.columns), torch.device(device), batch_size
        self.told = told
        self.models: list[QualityModel] = []
        self.passes: list[Passes] = []
        self.names: list[str] = []
        for checkpoint in checkpoints:
            model, record = load(checkpoint, device, planned.get(uri_of(checkpoint)))
            self.models.append(model)
            self.passes.append(Passes(model, precision, compiled))
            self.names.append(record.model.name)

    def __call__(self, rows: pa.Table, halves: Sequence[Halves]) -> list[Found]:
        """What is found of each row of ``Decode``, of the work (``WORK``) in its column ``zero``.

        ``halves`` are the important halves of each row's rankings; its column ``orders`` (``ORDERS``), where there is
        one, has the orders. A ranking without one, and a score that is not finite, are errors of the image; the rest is
        still found.
        """
        work = [asked or [] for asked in rows["zero"].to_pylist()]
        given = rows["orders"].to_pylist() if "orders" in rows.column_names else [None] * rows.num_rows
        orders = [{each["ranking"]: each["first"] for each in some or ()} for some in given]
        found = [Found([]) for _ in work]
        there = set(range(rows.num_rows)) - {i for i, error in enumerate(rows["error"].to_pylist()) if error}
        for number in range(len(self.models)):
            asked = {i: [w for w in work[i] if w["model"] == number] for i in sorted(there)}
            wanted = {i: self._variants(some, halves[i], orders[i]) for i, some in asked.items()}
            masks = {i: {v[2:] for v in some} for i, some in wanted.items()}
            own = {i: [w for w in some if w["ranking"] == schema.OCCLUSION] for i, some in asked.items()}
            singles = {(schema.NOT_FILLED, 0), *((schema.ZERO, 1 << block) for block in range(self.grid.blocks))}
            scores = self._scores(number, rows, {i: masks[i] | (singles if own[i] else set()) for i in masks})
            for i in (i for i, some in own.items() if some):
                chosen = self._own_half({mask: scores[i, fill, mask] for fill, mask in singles})
                wanted[i] += self._variants(own[i], {schema.OCCLUSION: chosen} if chosen else {}, {})
            more = {i: {v[2:] for v in wanted[i] if (i, *v[2:]) not in scores} for i in wanted}
            if any(more.values()):
                scores |= self._scores(number, rows, more)
            for i, variants in wanted.items():
                uri = rows["uri"][i].as_py()
                for ranking in sorted({w["ranking"] for w in asked[i]} - {v[0] for v in variants}, key=str):
                    found[i].error = "no half"
                    found[i].message = f"{uri}: {ranking} gives this image no half; was it ranked and measured?"
                if not all(np.isfinite(scores[i, fill, blocks]) for _, _, fill, blocks in variants):
                    found[i].error = "zeroed score is not finite"
                    found[i].message = f"{uri}: {self.names[number]} gave a score that is not a number"
                    continue
                for ranking, half, fill, blocks in variants:
                    found[i].rows.append(
                        {
                            "model": number,
                            "ranking": ranking,
                            "zeroed_half": half,
                            "zeroed_blocks": blocks,
                            "fill": fill,
                            "score": scores[i, fill, blocks],
                        }
                    )
        return found

    def _own_half(self, scores: Mapping[int, np.float32]) -> int:
        """The half whose blocks move the score most when zeroed alone (by mask; 0: the whole photo); 0 for none."""
        change_K = [abs(float(scores[1 << block]) - float(scores[0])) for block in range(self.grid.blocks)]
        return int(important_half([change_K])[0])

    def _variants(
        self, work: Sequence[dict[str, Any]], halves: Halves, orders: Mapping[str, Sequence[int]]
    ) -> list[_Variant]:
        """All that is to be predicted of one image."""
        variants: list[_Variant] = []
        for asked in work:
            ranking, fill = asked["ranking"], asked["fill"]
            if ranking is None:
                variants.append((None, "none", schema.NOT_FILLED, 0))
            elif ranking == schema.SINGLE_BLOCK:
                variants += [(ranking, "important", fill, 1 << block) for block in range(self.grid.blocks)]
            elif ranking in orders:
                first = orders[ranking]
                variants += [(ranking, "deletion", fill, mask) for mask in first]
                variants += [(ranking, "insertion", fill, self.grid.full ^ mask) for mask in first[:-1]]
            elif ranking in halves:
                half = halves[ranking]
                variants += [(ranking, "important", fill, half), (ranking, "trivial", fill, self.grid.full ^ half)]
        return variants

    def _scores(
        self, number: int, rows: pa.Table, wanted: dict[int, set[tuple[str, int]]]
    ) -> dict[tuple[int, str, int], np.float32]:
        """The score of every row number, fill and mask (zeroed blocks) that is wanted, each run once."""
        model, passes = self.models[number], self.passes[number]
        size = model.preprocessing.height, model.preprocessing.width
        scores: dict[tuple[int, str, int], np.float32] = {}
        each = (((i, *one), pixels) for i, pixels in pixels_of(rows, size) for one in sorted(wanted.get(i, ())))
        backgrounds: dict[tuple[int, str], Tensor] = {}
        for keys, pixels_NHWC in batches(each, self.batch_size):
            padded_NHWC = np.empty((self.batch_size, *pixels_NHWC.shape[1:]), np.uint8)
            padded_NHWC[: len(keys)], padded_NHWC[len(keys) :] = pixels_NHWC, pixels_NHWC[:1]
            masks_N = [mask if fill == schema.ZERO else 0 for _, fill, mask in keys] + [0] * (
                self.batch_size - len(keys)
            )
            with torch.inference_mode():
                pixels = torch.from_numpy(padded_NHWC).to(self.device)
                images_NCHW = zero_blocks(model.normalise(pixels), masks_N, self.grid)
                # Those of the last batch are kept: it may have ended within the masks of a photo.
                backgrounds = _backgrounds(keys, pixels, backgrounds)
                for place, (i, fill, mask) in enumerate(keys):
                    if fill not in (schema.ZERO, schema.NOT_FILLED):
                        photo_HWC = pixels[place].float() / 255
                        filled_HWC = fill_blocks(photo_HWC, mask, self.grid, fill, backgrounds.get((i, fill)))
                        images_NCHW[place] = model.standardise(filled_HWC[None])[0]
                is_first = not passes.done
                score_N = passes(images_NCHW).cpu().numpy()
                if is_first and (passes.change is not None or passes.not_compiled):
                    self.told(self.names[number], passes.change, passes.not_compiled)
            scores |= dict(zip(keys, score_N[: len(keys)], strict=True))
        return scores


def _backgrounds(
    keys: Sequence[tuple[int, str, int]], pixels_NHWC: Tensor, known: dict[tuple[int, str], Tensor]
) -> dict[tuple[int, str], Tensor]:
    """By row number and fill the `background` of the photos of a batch, made where it is not ``known``."""
    found: dict[tuple[int, str], Tensor] = {}
    for (i, fill, _), pixels_HWC in zip(keys, pixels_NHWC, strict=False):  # the batch is padded
        if fill in BACKGROUNDS and (i, fill) not in found:
            there = known.get((i, fill))
            found[i, fill] = background(pixels_HWC.float() / 255, fill) if there is None else there
    return found
