"""Draw figures and make the report page from stored results."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("report"))
