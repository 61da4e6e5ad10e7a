"""Fit a quality model to the scored photos of a manifest."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("train"))
