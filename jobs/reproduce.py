"""Run a whole experiment of the paper: photos to tables."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("reproduce"))
