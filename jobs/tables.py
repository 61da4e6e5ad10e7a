"""Make the tables from stored scores."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Make the tables of a rank run anew from its stored scores, as jobs/rank.py does at its end: the
table of Section 2, the statistics of every subset, the data-set-wide importance, and, where planted defects are known,
how well the halves find them. No model is run."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    settings = parse("tables.py", DESCRIPTION, ["data", "rank", "tables"])
    from halfiqa_ray.pipelines import aggregate  # not for --help

    try:
        return aggregate.run(settings)
    except (ValueError, OSError) as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
