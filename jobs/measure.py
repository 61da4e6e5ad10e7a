"""Measure where photos are salient, detailed and hold objects."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("measure"))
