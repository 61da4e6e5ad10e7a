"""Stage: decoded photos in, explanations of models' scores out: block means, halves and small pixel maps.

Shape suffixes: N images, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from halfiqa_ray.config import GridSettings, LimeSettings
from halfiqa_ray.explain.gradcam import grad_cam
from halfiqa_ray.explain.lime import lime
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means, high_blocks
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.stages.decode import batches, pixels_of
from halfiqa_ray.stages.maps import MAPS, small_map

# What is asked of a row: pairs of a model (its number) and a method.
EXPLAIN_WORK = pa.list_(pa.struct([pa.field("model", pa.int32()), pa.field("method", pa.string())]))
# The column that this stage adds.
EXPLAINED = pa.list_(
    pa.struct(
        [
            pa.field("model", pa.int32()),
            pa.field("method", pa.string()),
            pa.field("score", pa.float32()),
            pa.field("block_means", pa.list_(pa.float32())),
            pa.field("signed_means", pa.list_(pa.float32())),
            pa.field("high_blocks", pa.uint16()),
            pa.field("tied", pa.bool_()),
        ]
    )
)


def explain_passes(work: Sequence[dict[str, Any]] | None, lime_samples: int) -> int:
    """How many forward passes some ``EXPLAIN_WORK`` of one image takes: one a model, and LIME's samples."""
    asked = work or ()
    return len({each["model"] for each in asked}) + lime_samples * sum(each["method"] == "lime" for each in asked)


class ExplainPhotos:
    """Explains the scores of photos by any number of models, each at its checkpoint's input size.

    Forward passes are always of ``batch_size`` images, so that a row does not depend on what else is explained;
    LIME's samples are drawn from the seed and the image's id.
    """

    def __init__(
        self,
        models: Sequence[QualityModel],
        names: Sequence[str],
        grid: GridSettings,
        settings: LimeSettings,
        seed: int,
        device: torch.device,
        batch_size: int = 1,
    ) -> None:
        self.models, self.names, self.grid = models, names, Grid(grid.rows, grid.columns)
        self.settings, self.seed, self.device, self.batch_size = settings, seed, device, batch_size
        for model in models:
            model.requires_grad_(False)  # gradients are of maps, not of weights

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows of ``Decode`` with the explanations that their column ``explain`` (``EXPLAIN_WORK``) asks for.

        Adds ``explained``, ``maps`` (``MAPS``) where a row's ``mapped`` is true, those of ``measure_maps`` included,
        and ``explain_error`` with ``explain_message`` where an explanation is not finite.
        """
        asked = [work or [] for work in rows["explain"].to_pylist()]
        mapped = rows["mapped"].to_pylist()
        explained: list[list[dict[str, Any]]] = [[] for _ in asked]
        errors: list[str | None] = [None] * rows.num_rows
        messages: list[str | None] = [None] * rows.num_rows
        maps: list[list[dict[str, Any]]] = [[] for _ in asked]
        if "measure_maps" in rows.column_names:
            of_measures = rows["measure_maps"].to_pylist()
            mapped = [each and found is not None for each, found in zip(mapped, of_measures, strict=True)]
            maps = [found or [] for found in of_measures]
            rows = rows.drop_columns(["measure_maps"])
        for number, (model, name) in enumerate(zip(self.models, self.names, strict=True)):
            wanted = [[each["method"] for each in work if each["model"] == number] for work in asked]
            for i, method, score, map_HW in self._explain(model, rows, wanted):
                if not (np.isfinite(score) and np.isfinite(map_HW).all()):
                    errors[i] = "explanation is not finite"
                    messages[i] = f"{rows['uri'][i]}: {method} of {name} gave a value that is not a number"
                    continue
                found = self._blocks(map_HW, rows["image_id"][i].as_py())
                explained[i].append({"model": number, "method": method, "score": score} | found)
                if mapped[i]:
                    maps[i].append(small_map(method, name, np.abs(map_HW)))
        # An image's maps are stored whole or not at all: one with some of them would count as done.
        maps = [found if error is None else [] for found, error in zip(maps, errors, strict=True)]
        for column, values, kind in (
            ("explained", explained, EXPLAINED),
            ("maps", maps, MAPS),
            ("explain_error", errors, pa.string()),
            ("explain_message", messages, pa.string()),
        ):
            rows = rows.append_column(column, pa.array(values, kind))
        return rows

    def _explain(
        self, model: QualityModel, rows: pa.Table, wanted: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, str, float, NDArray[np.float32]]]:
        """Row number, method, score and signed map (H, W) of everything that is wanted of one model."""
        size = model.preprocessing.height, model.preprocessing.width
        each = ((i, pixels) for i, pixels in pixels_of(rows, size) if wanted[i])
        for numbers, pixels_NHWC in batches(each, self.batch_size):
            padded_NHWC = np.empty((self.batch_size, *pixels_NHWC.shape[1:]), np.uint8)
            padded_NHWC[: len(numbers)], padded_NHWC[len(numbers) :] = pixels_NHWC, pixels_NHWC[:1]
            images_NCHW = model.normalise(torch.from_numpy(padded_NHWC).to(self.device))
            if model.map_layer is not None:
                score_N, map_NHW = grad_cam(model, images_NCHW)
            else:
                with torch.inference_mode():
                    score_N = model(images_NCHW).score_N
            for place, i in enumerate(numbers):
                score = float(score_N[place])
                if "grad_cam" in wanted[i]:
                    yield i, "grad_cam", score, map_NHW[place].float().cpu().numpy()
                if "lime" in wanted[i]:
                    image_id = rows["image_id"][i].as_py()
                    map_HW = lime(model, pixels_NHWC[place], image_id, self.settings, self.seed, self.batch_size)
                    yield i, "lime", score, map_HW

    def _blocks(self, map_HW: NDArray[np.float32], image_id: str) -> dict[str, Any]:
        """What is stored of a signed map: blocks matter by its absolute values."""
        means = block_means(np.abs(map_HW), self.grid)
        mask, tied = high_blocks(means, image_id, self.seed)
        signed = block_means(map_HW, self.grid)
        return {"block_means": means, "signed_means": signed, "high_blocks": mask, "tied": tied > 0}
