"""Make the tables from stored scores."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Make the tables of a rank run anew from stored rows, as jobs/rank.py does at its end; no model is run.
Section 2, Table I with its controls, the averaged measure and Table II, each beside the paper's numbers; and from the
scores of all subsets: sufficiency curves, agreement of rules, measures and models, positions, interactions of blocks,
and, where planted defects are known, how well the halves find them. What was not measured (jobs/measure.py) or zeroed
(jobs/zero.py) is blank, with the reason. Each table is written below the output as Parquet, CSV and Markdown."""


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
