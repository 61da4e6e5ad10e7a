"""Models that are not ours: any callable from images in [0, 1] to a score each (docs/outside.md)."""

from halfiqa_ray.models.outside.finding import PREFIX, find_outside
from halfiqa_ray.models.outside.loading import load_outside, outside_record
from halfiqa_ray.models.outside.naming import NAME, OutsideError, said

__all__ = ["NAME", "PREFIX", "OutsideError", "find_outside", "load_outside", "outside_record", "said"]
