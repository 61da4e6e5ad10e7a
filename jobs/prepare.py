"""Read a data set into a manifest: each row checked, each photo in its split."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("prepare"))
