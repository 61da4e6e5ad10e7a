"""Score every block subset of every photo, and say which half of each photo its quality hangs on."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Score every subset of blocks of every photo in a manifest (jobs/prepare.py; a plain folder of photos
is prepared by this job) with a trained, positional masked TRIQ (jobs/train.py); write scores, block importance and
halves as Parquet, and the tables. In the same pass over each decoded photo it measures saliency, frequency and
objectness (as jobs/measure.py), and predicts the test photos with their halves set to zero with every model that has a
checkpoint (as jobs/zero.py); rank.measure and rank.zero switch these off. Halves that hang on other images
(control_other, image_plcc) get a second, smaller pass at the end. Run it again to go on after a stop: finished photos
are not scored again."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    sections = ["data", "model", "train", "rank", "measure", "zero", "compute"]
    settings = parse("rank.py", DESCRIPTION, sections)
    from halfiqa_ray.pipelines import rank  # Ray and torch take seconds to import: not for --help

    try:
        return rank.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"rank.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
