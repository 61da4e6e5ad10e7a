"""Write the demo data set that a configuration names: real photographs, known damage, synthetic scores."""

import sys

from halfiqa_ray.command import run_job

if __name__ == "__main__":
    sys.exit(run_job("demo_data"))
