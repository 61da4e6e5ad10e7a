"""The subcommands of `halfiqa`, and what each is for in a line. Nothing heavy is imported here."""

from __future__ import annotations

from typing import NamedTuple

from halfiqa_ray.command import JOBS


class Command(NamedTuple):
    """A subcommand that is no job: what it is for, and ``module:function``, which takes its words and program name."""

    description: str
    entry: str


OWN = {
    "look": Command(
        "Look at photos here and now: score, halves and block values, in the terminal or as a page.", "look"
    ),
    "models": Command("List the models that come with the package, what they learned from, and their terms.", "models"),
    "demo": Command("The whole way on photos that packages carry, with the models that come along: minutes.", "demo"),
    "completion": Command("Print a script that teaches a shell to complete this command.", "completion"),
}
QUERY = "Ask stored results in SQL."


def jobs() -> dict[str, str]:
    """The name of every job as a subcommand, and its first sentence."""
    told = {name.replace("_", "-"): _first_sentence(job.description) for name, job in JOBS.items()}
    return told | {"query": QUERY}


def _first_sentence(description: str) -> str:
    words = " ".join(description.split())
    short = words.split(": ")[0].split("; ")[0].split(". ")[0].split(" (")[0]
    return short.rstrip(".,:;") + "."
