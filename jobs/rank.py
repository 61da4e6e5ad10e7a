"""Score every block subset of every photo, and say which half of each photo its quality hangs on."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("rank"))
