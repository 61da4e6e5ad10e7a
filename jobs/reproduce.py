"""Run a whole experiment of the paper: photos to tables."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Run an experiment (configs/experiments/): for every data set prepare the manifest, train every model or
take its checkpoint, then score every block subset, measure and zero in one stream, and write the tables. Run it again
to go on after a stop: what is done and unchanged is left alone."""
SECTIONS = ["reproduce", "train", "rank", "zero", "measure", "compute"]


def main() -> int:
    """Parse the command line, run the experiment, return its exit code."""
    parse("reproduce.py", DESCRIPTION, SECTIONS)
    from halfiqa_ray.pipelines import reproduce  # Ray and torch take seconds to import: not for --help

    try:
        return reproduce.run("reproduce.py", DESCRIPTION, SECTIONS, sys.argv[1:])
    except (ValueError, RuntimeError, OSError) as error:
        print(f"reproduce.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
