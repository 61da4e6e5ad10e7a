"""The training job of an older revision of this repository and of this one, in turn: images a second.

The older one is checked out into a folder of its own and imported from there; settings, photos and packages are equal.

    make reproduce-demo    # or its first jobs: photos and manifest
    python -m benchmarks.training_revisions --before 28d8779 --output benchmarks/results/training_revisions.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from benchmarks.printing import machine, run
from benchmarks.training_rate import FEEDS

ROOT = Path(__file__).parents[1]
SCRIPT = Path(__file__).with_name("training_rate.py")


def rates(tree: Path, model: str, photos: int) -> dict[str, float]:
    """Images a second by feed, of the revision in ``tree``."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), model, str(photos)],
        env=os.environ | {"PYTHONPATH": str(tree)},
        cwd=tree,  # Ray's workers look there first
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def work(options: argparse.Namespace) -> Iterable[str]:
    """The table."""
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), options.before], cwd=ROOT, check=True)
        try:
            (tree / "results").symlink_to(ROOT / "results")
            for model in options.models.split(","):
                found: dict[tuple[str, Path], list[float]] = defaultdict(list)
                for _ in range(options.repeats):
                    for revision in (tree, ROOT):
                        for feed, rate in rates(revision, model, options.photos).items():
                            found[feed, revision].append(rate)
                            print(f"{model} {feed} {revision.name}: {rate:.1f}", flush=True)
                cells = []
                for feed in FEEDS:
                    before, after = found[feed, tree], found[feed, ROOT]
                    ratio = statistics.mean(after) / statistics.mean(before)
                    cells += [", ".join(f"{rate:.1f}" for rate in each) for each in (before, after)] + [f"{ratio:.2f}"]
                lines.append(f"| {model} | {' | '.join(cells)} |")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    return [
        f"{machine()}; {options.photos} pictures of 192 x 256, batches of 8; images a second of the job's best epoch "
        f"but the first, {options.repeats} runs each, before ({options.before}) and after in turn.",
        "",
        "| model | in memory, before | after | after / before | Ray Data, before | after | after / before |",
        "|---|---|---|---|---|---|---|",
        *lines,
    ]


if __name__ == "__main__":
    run(__doc__, work, before="HEAD~1", models="triq,aihiqnet,koncept,dbcnn,swin_iqa", photos=160, repeats=2)
