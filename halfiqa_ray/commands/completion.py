"""`halfiqa completion`: a script with every subcommand and option, so that no key press waits for Python."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

DESCRIPTION = """Print a script that teaches a shell to complete subcommands, options and their choices. bash:
halfiqa completion bash > ~/.local/share/bash-completion/completions/halfiqa; zsh: the same into a file _halfiqa in a
folder of $fpath. Print it anew after an update."""
SHELLS = ("bash", "zsh", "tcsh")


def run(words: Sequence[str], program: str) -> int:
    """Print the script."""
    own = argparse.ArgumentParser(program, description=DESCRIPTION)
    own.add_argument("shell", choices=SHELLS)
    given = own.parse_args(words)
    import shtab

    print(shtab.complete(every_option(), given.shell))
    return 0


def every_option() -> argparse.ArgumentParser:
    """A parser that has the options of all subcommands, and nothing else of them."""
    import shtab

    from halfiqa_ray.command import JOBS
    from halfiqa_ray.commands.table import OWN, jobs
    from halfiqa_ray.config import Settings
    from halfiqa_ray.config.command_line import make_parser
    from halfiqa_ray.looking.arguments import make_parser as make_look

    whole = argparse.ArgumentParser("halfiqa")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    parsers = {name: commands.add_parser(name, help=text) for name, text in jobs().items()}
    parsers |= {name: commands.add_parser(name, help=command.description) for name, command in OWN.items()}
    parsers["completion"].add_argument("shell", choices=SHELLS)
    sources: dict[str, argparse.ArgumentParser] = {
        name.replace("_", "-"): make_parser("", "", job.sections, Settings, only=True) for name, job in JOBS.items()
    }
    sources["look"] = make_look("")
    for name, source in sources.items():
        for action in source._actions:
            if action.dest != "help" and action.option_strings and action.help != argparse.SUPPRESS:
                _copy(parsers[name], action)
    for name in ("look", "query"):
        parsers[name].add_argument("names", nargs="*").complete = shtab.FILE  # type: ignore[attr-defined]
    return whole


def _copy(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
    told = (action.help or "").replace("%", "%%")
    if action.nargs == 0:
        parser.add_argument(*action.option_strings, action="store_true", help=told)
        return
    choices = list(action.choices) if action.choices is not None else None
    copied = parser.add_argument(*action.option_strings, choices=choices, help=told)
    if action.dest == "config":
        import shtab

        copied.complete = shtab.FILE  # type: ignore[attr-defined]
