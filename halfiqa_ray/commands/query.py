"""`halfiqa query`: the job has a command line of its own."""

from __future__ import annotations

from collections.abc import Sequence


def run(words: Sequence[str], program: str) -> int:
    """Ask stored results."""
    from halfiqa_ray.queries import ask  # DuckDB is an extra

    return ask.run(words, program)
