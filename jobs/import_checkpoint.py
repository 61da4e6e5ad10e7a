"""Bring weights that others trained and published into a checkpoint that the other jobs take."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("import_checkpoint"))
