"""Explain predicted scores by Grad-CAM and LIME."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Explain what every model's score of a photo comes from, by Grad-CAM and LIME (the paper's Figure 1),
for some of the photos that jobs/rank.py has ranked under the same settings: block means and halves, and small pixel
maps of the most telling ones, as Parquet. Then (unless explain.zero is false) zero those halves in every model, beside
the halves by the rule, the measures and the controls, on the same photos, write the tables of what is zeroed anew, and
print how much each half matters. Run it again to go on after a stop: what is there is not explained again."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    sections = ["data", "model", "train", "rank", "measure", "zero", "explain", "report", "compute"]
    settings = parse("explain.py", DESCRIPTION, sections)
    from halfiqa_ray.pipelines import explain  # Ray and torch take seconds to import: not for --help

    try:
        return explain.run(settings)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"explain.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
