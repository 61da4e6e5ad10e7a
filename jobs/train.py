"""Fit a quality model to the scored photos of a manifest."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Train a model on the photos of a manifest that have MOS (jobs/prepare.py), with Ray Train; write the
best weights by validation PLCC and their agreement with MOS on every other split under OUTPUT/checkpoints.
Run it again to go on after a stop: it resumes at the last finished epoch, and a finished run returns at once."""


def main() -> int:
    """Parse the command line, run the job, print the agreement with MOS, return the exit code."""
    settings = parse("train.py", DESCRIPTION, ["data", "model", "train"])
    from halfiqa_ray.training import train  # Ray and torch take seconds to import: not for --help

    try:
        record = train.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    print(train.summary(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
