"""Images a second of one model's training job with each feed, printed as JSON.

A script for benchmarks that start it in a process of its own; it works on whichever revision PYTHONPATH leads to.

    python benchmarks/training_rate.py MODEL PHOTOS
"""

from __future__ import annotations

import json
import sys
import tempfile

from benchmarks.demo_models import settings_of
from benchmarks.training_speed import job, shortened
from halfiqa_ray.runtime.session import ray_session

FEEDS = ("memory", "ray_data")

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        settings = shortened(settings_of(sys.argv[1], 1), folder, int(sys.argv[2]))
        with ray_session(settings):
            rates = {feed: job(settings, feed) for feed in FEEDS}
    print(json.dumps(rates))
