"""Draw figures and make the report page from stored results."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Draw the figures of the newest rank run of every data set below the output (figures/DATASET/), and make
the report page, report/index.html: tables beside the paper's, figures, and a gallery whose photos open in an explorer
of all block subsets. The page is one file that opens from disk and fetches nothing. No model is run: what was not
measured or zeroed is named in its place. report.export writes photos with their halves masked as image files."""


def main() -> int:
    """Parse the command line, draw, export, make the page, return the exit code."""
    settings = parse("report.py", DESCRIPTION, ["data", "rank", "tables", "report"])
    from halfiqa_ray.report import report  # torch and matplotlib take seconds to import: not for --help

    try:
        return report.run(settings)
    except (ValueError, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
