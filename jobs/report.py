"""Draw figures from stored results."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Draw photos with their important and their trivial half (figures/halves_DATASET.{png,svg}) from the
newest rank run of a data set. Nothing is computed again; the photos are read for the picture."""


def main() -> int:
    """Parse the command line, draw, return the exit code."""
    settings = parse("report.py", DESCRIPTION, ["data", "rank", "report"])
    from halfiqa_ray.report import figures  # torch and matplotlib take seconds to import: not for --help

    try:
        for uri in figures.draw(settings):
            print(f"wrote {uri}")
    except ValueError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
