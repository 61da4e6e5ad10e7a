"""Ask stored results in SQL."""

import sys

from halfiqa_ray.queries.ask import run

if __name__ == "__main__":
    sys.exit(run())
