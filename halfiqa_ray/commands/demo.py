"""`halfiqa demo`: the whole way on photos that packages carry."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from halfiqa_ray.command import run_job

DESCRIPTION = """Rank, measure, zero and explain photographs that packages carry, whole and damaged on purpose, with
the models that come with this package and learned from people's scores; then tables, figures and the page, below
results/demo. Nothing is trained. Needs Ray and the extra `demo` (pip install 'halfiqa_ray[demo]'). Run it again to go
on after a stop."""
CONFIG = ("--config", "demo")
# What is said before a job, and its name.
STEPS: tuple[tuple[str, str], ...] = (
    ("the pictures", "demo_data"),
    ("all block subsets, measures, zeroed halves, explanations, tables, figures and the page", "reproduce"),
)


def run(words: Sequence[str], program: str) -> int:
    """Run all steps; the exit code is that of the first that fails, or 0."""
    argparse.ArgumentParser(program, description=DESCRIPTION).parse_args(words)
    for told, job in STEPS:
        print(f"== {told}", flush=True)
        if code := run_job(job, CONFIG, f"halfiqa {job.replace('_', '-')}"):
            return code
    return 0
