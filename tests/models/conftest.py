"""Tests here compare with torchvision and timm themselves, which a CPU-only torch does not let in unasked."""

from halfiqa_ray.models.backbones import declare_missing_operators

declare_missing_operators()
