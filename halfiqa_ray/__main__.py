"""`python -m halfiqa_ray` is the command `halfiqa`."""

import sys

from halfiqa_ray.main import main

if __name__ == "__main__":
    sys.exit(main())
