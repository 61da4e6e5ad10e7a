"""Fits and searches of their settings, by Ray Train and Ray Tune."""

import halfiqa_ray.runtime  # noqa: F401  # sets what Ray reads when it is first imported
