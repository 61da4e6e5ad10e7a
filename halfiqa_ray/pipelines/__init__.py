"""The jobs over photos, on Ray."""

import halfiqa_ray.runtime  # noqa: F401  # sets what Ray reads when it is first imported
