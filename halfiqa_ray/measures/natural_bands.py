"""How strong each frequency band is in photos as people take them: constants, measured once, stored beside this file.

With them a photo's measure hangs on no other photo. `natural_bands.json` says of which photos they are, how many, and
at which size; `python -m benchmarks.natural_bands` measures them anew.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


@functools.cache
def natural_band_means() -> tuple[float, ...]:
    """The mean magnitude of the ten bands in grey levels, from low to high frequency."""
    return tuple(json.loads(FILE.read_text())["band_means"])
