"""Predict photos with their important or their trivial half set to zero."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Predict every photo of the zero splits as it is, and with its important and its trivial half set to
zero after preprocessing, with every model that has a checkpoint; write the scores as Parquet. The halves are those that
jobs/rank.py and jobs/measure.py have stored under the same settings, and those of the controls; jobs/rank.py zeroes by
itself unless rank.zero is false. control_other and image_plcc hang on other images, so they get a second, smaller
pass. Run it again to go on after a stop, or for more rankings or models: what is there is not predicted again."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    sections = ["data", "model", "train", "rank", "measure", "zero", "compute"]
    settings = parse("zero.py", DESCRIPTION, sections)
    from halfiqa_ray.pipelines import zero  # Ray and torch take seconds to import: not for --help

    try:
        return zero.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"zero.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
