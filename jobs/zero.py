"""Predict photos with their important or their trivial half set to zero."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("zero"))
