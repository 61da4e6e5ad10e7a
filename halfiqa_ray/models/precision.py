"""Where a sum or a root needs more digits than half precision has."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 where it has that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
