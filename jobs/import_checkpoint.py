"""Bring weights that others trained and published into a checkpoint that the other jobs take."""

import sys

from halfiqa_ray.config import parse

DESCRIPTION = """Read published weights (TRIQ or AIHIQnet from Keras .h5, KonCept512 or DBCNN from a PyTorch state
dict) and write them as a checkpoint, model.safetensors and model.json, below --output. Nothing is unpickled. Every
tensor must match: if not, all that are missing, left over or of another shape are listed and nothing is written.
Rank with it by --rank.checkpoint FOLDER, which the job prints."""


def main() -> int:
    """Parse the command line, run the job, return its exit code."""
    settings = parse("import_checkpoint.py", DESCRIPTION, ["published"])
    from halfiqa_ray.models.published import importing  # not for --help

    try:
        return importing.run(settings)
    except (ValueError, OSError) as error:
        print(f"import_checkpoint.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
