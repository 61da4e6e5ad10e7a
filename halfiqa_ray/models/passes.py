"""Forward passes for scores alone: in float32 or half precision, as the model is or compiled.

Neither may change a score unseen. What half precision changes is measured where it is used, on the first images; a
compiled model that gives other scores than the model itself, or that cannot be compiled here, is not used, and why is
kept. Shape suffixes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from halfiqa_ray.models.base import QualityModel

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOLERANCE = 1e-4  # of the largest score: float32 rounding where operations are fused and summed in another order


class Passes:
    """Scores of one model, in batches of one size.

    ``precision`` is one of `PRECISIONS` (by torch.autocast: sums, norms and scores stay in float32). With ``compiled``
    the model is compiled by torch.compile on the first batch; ``not_compiled`` says why where that was not possible.
    ``change`` is the largest absolute difference from float32 in the first batch, MOS units; None in float32.
    """

    def __init__(self, model: QualityModel, precision: str = "float32", compiled: bool = False) -> None:
        self.model, self.dtype = model, PRECISIONS[precision]
        self.change: float | None = None
        self.not_compiled = ""
        self.done = False  # whether it was ever called
        self._forward: torch.nn.Module | None = None if compiled else model

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Scores (N,), float32, of normalised images (N, C, H, W)."""
        if self._forward is None:
            self._forward = self._compile(images_NCHW)
        score_N = self._scores(self._forward, images_NCHW)
        if not self.done and self.dtype is not None:
            exact_N = self.model(images_NCHW).score_N.float()
            self.change = float((score_N - exact_N).abs().max())
        self.done = True
        return score_N

    def _scores(self, forward: torch.nn.Module, images_NCHW: Tensor) -> Tensor:
        with torch.autocast(images_NCHW.device.type, self.dtype, enabled=self.dtype is not None):
            score_N: Tensor = forward(images_NCHW).score_N
        return score_N.float()

    def _compile(self, example_NCHW: Tensor) -> torch.nn.Module:
        """The compiled model, or the model itself where it cannot be compiled or gives other scores then."""
        try:
            compiled: torch.nn.Module = torch.compile(self.model, dynamic=False)  # type: ignore[assignment]
            fast_N = compiled(example_NCHW).score_N.float()
        except Exception as error:  # of torch, its compiler or the machine's: whatever it is, the model itself works
            self.not_compiled = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return self.model
        exact_N = self.model(example_NCHW).score_N.float()
        if not torch.allclose(fast_N, exact_N, rtol=0, atol=TOLERANCE * float(exact_N.abs().max())):
            self.not_compiled = f"its scores differ by {float((fast_N - exact_N).abs().max()):.3g}"
            return self.model
        return compiled
