"""Write the demo data set that a configuration names: real photographs, known damage, synthetic scores."""

from __future__ import annotations

import sys

from halfiqa_ray.config import parse
from halfiqa_ray.data.demo.make import make_demo


def main() -> int:
    """Read ``data.root``, ``data.layout`` and ``seed``; exit code 2 when the folder is not ours to write."""
    settings = parse("python jobs/demo_data.py", __doc__ or "", ["data"])
    try:
        summary = make_demo(settings.data.root, settings.data.layout, settings.seed)
    except (ValueError, OSError) as error:
        print(f"demo data: {error}", file=sys.stderr)
        return 2
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
