"""Search the settings of a fit."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Try settings of a model and its training at random, with Ray Tune, each trial a fit by Ray Train; stop
those that fall behind in validation PLCC, and write the best settings as best.yaml, which jobs/train.py takes, and a
table of all trials under OUTPUT/tune. The test split is not looked at. Run it again to go on after a stop: trials go on
at their last finished epoch, and a finished search returns at once."""


def main() -> int:
    """Parse the command line, run the job, print the trials, return the exit code."""
    settings = parse("tune.py", DESCRIPTION, ["data", "model", "train", "tune"])
    from halfiqa_ray.training import tune  # Ray and torch take seconds to import: not for --help

    try:
        folder = tune.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"tune.py: {error}", file=sys.stderr)
        return 2
    print(tune.summary(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
