"""`halfiqa demo`: the whole way on photos that packages carry."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from halfiqa_ray.command import run_job

DESCRIPTION = """Run the jobs one after another on photographs that packages carry, damaged on purpose, whose scores are
a formula of the damage: prepare, train a TRIQ, score all block subsets, tables, figures and the page, below
results/demo. Needs Ray and the extra `demo` (pip install 'halfiqa_ray[demo]'). Run it again to go on after a stop."""
CONFIG = ("--config", "demo")
# What is said before a job, its name and its further words.
STEPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("the pictures", "demo_data", ()),
    ("the manifest", "prepare", ()),
    ("a TRIQ that learns the made-up scores", "train", ()),
    (
        "an untrained TRIQ over the test photos: the control of the localisation table",
        "train",
        ("--train.run", "untrained", "--train.main.epochs", "0"),
    ),
    (
        "its scores",
        "rank",
        (
            *("--train.run", "untrained", "--rank.tables", "false", "--rank.zero", "false"),
            *("--rank.measure", "false", "--rank.splits", "[test,test_same_photo]"),
        ),
    ),
    ("the trained TRIQ over every photo", "rank", ("--rank.zero", "false", "--rank.measure", "false")),
    ("figures and page", "report", ()),
)


def run(words: Sequence[str], program: str) -> int:
    """Run all steps; the exit code is that of the first that fails, or 0."""
    argparse.ArgumentParser(program, description=DESCRIPTION).parse_args(words)
    for told, job, further in STEPS:
        print(f"== {told}", flush=True)
        if code := run_job(job, [*CONFIG, *further], f"halfiqa {job.replace('_', '-')}"):
            return code
    return 0
