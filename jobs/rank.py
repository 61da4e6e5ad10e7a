"""Score every block subset of every photo, and say which half of each photo its quality hangs on."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Score every subset of blocks of every photo in a manifest (jobs/prepare.py) with a trained, positional
masked TRIQ (jobs/train.py); write scores, block importance and halves as Parquet, and the table of Section 2.
Run it again to go on after a stop: finished photos are not scored again."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    settings = parse("rank.py", DESCRIPTION, ["data", "model", "train", "rank", "compute"])
    from halfiqa_ray.pipelines import rank  # Ray and torch take seconds to import: not for --help

    try:
        return rank.run(settings)
    except (ValueError, RuntimeError) as error:
        print(f"rank.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
