"""Hours and cost of ranking a data set on a cluster, from a rate and prices; nothing else is assumed.

    python cluster/cost.py                                # KonIQ-10k on CPUs, at the measured rate
    python cluster/cost.py --nodes 8 --node-price 0.40    # your price of a node an hour
    python cluster/cost.py --rate 12 --nodes 8            # a GPU node: the rate is yours to measure, no GPU was at hand

hours = photos / (rate x nodes) + start, where rate is photos a second of one node. Of CPU nodes it is the measured rate
of one core (benchmarks/results/subset_scoring.md: backbone and all subsets of a 768 x 1024 photo, ResNet-50) times the
cores that score: all but the two that are left to decoding and writing. Zeroing, measures and training are not in it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

MEASURED = Path(__file__).parents[1] / "benchmarks" / "results" / "subset_scoring.md"
KONIQ_PHOTOS = 10_073


def rate_of_a_core(measured: str) -> float:
    """Photos a second and core, from the text of the benchmark's result."""
    found = re.search(r"backbone and all subsets: ([\d.]+) photos a second with (\d+) threads", measured)
    if found is None:
        raise ValueError(f"{MEASURED} has no rate: run python -m benchmarks.subset_scoring")
    return float(found[1]) / int(found[2])


def hours(photos: int, rate: float, nodes: int, start_minutes: float) -> float:
    """From the first node that starts to the last photo: ``rate`` is photos a second of one node."""
    return photos / (rate * nodes) / 3600 + start_minutes / 60


def main() -> None:
    """Print the hours, and the cost where prices are given."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--photos", type=int, default=KONIQ_PHOTOS)
    command.add_argument("--rate", type=float, help="photos a second of one node; default: of a CPU node, as measured")
    command.add_argument("--cores", type=int, default=8, help="cores of a CPU node (default 8)")
    command.add_argument("--nodes", type=int, default=4, help="scoring nodes (default 4)")
    command.add_argument("--start-minutes", type=float, default=5, help="until a node works (default 5)")
    command.add_argument("--node-price", type=float, help="of a scoring node an hour")
    command.add_argument("--head-price", type=float, default=0.0, help="of the head an hour")
    options = command.parse_args()
    rate, said = options.rate, "given"
    if rate is None:
        core = rate_of_a_core(MEASURED.read_text())
        rate, said = core * max(1, options.cores - 2), f"{core:.2f} a core, measured on the machine of {MEASURED.name}"
    took = hours(options.photos, rate, options.nodes, options.start_minutes)
    print(f"{options.photos:,} photos, {options.nodes} nodes of {rate:.2f} photos a second ({said})")
    print(f"{took:.2f} h, {took * options.nodes:.2f} node hours")
    if options.node_price is not None:
        print(f"cost {took * (options.nodes * options.node_price + options.head_price):.2f}, storage and traffic apart")


if __name__ == "__main__":
    main()
