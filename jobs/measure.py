"""Measure where photos are salient, detailed and hold objects."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Compute the semantic measures of every photo of a manifest (jobs/prepare.py): saliency, spatial
frequency, objectness and their average, as block means and the half of the blocks with the higher ones, as Parquet. The
photos, their size and the grid are those that jobs/rank.py has under the same settings; it measures them by itself
unless rank.measure is false. Run it again to go on after a stop: finished photos are not measured again."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    settings = parse("measure.py", DESCRIPTION, ["data", "model", "train", "rank", "measure", "compute"])
    from halfiqa_ray.pipelines import measure  # Ray and torch take seconds to import: not for --help

    try:
        return measure.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
