"""Read a data set into a manifest: each row checked, each photo in its split."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Read a data set (KonIQ-10k, SPAQ, a pyiqa-style list, or any folder of photos) into a manifest: photos
matched with their scores, train, validation and test. Rows and photos with problems are listed and left out; with
--strict the job refuses instead. Photos are decoded only where splits of our own need their spatial information.
Run it again to go on after a stop; when nothing changed it costs nothing."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    settings = parse("prepare.py", DESCRIPTION, ["data", "compute"])
    from halfiqa_ray.pipelines import prepare  # not for --help

    try:
        return prepare.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
