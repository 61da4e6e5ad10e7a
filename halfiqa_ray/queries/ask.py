"""The job that asks stored results in SQL, with its own command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from halfiqa_ray.config import parse
from halfiqa_ray.queries import answers
from halfiqa_ray.queries.connection import connect

DESCRIPTION = """Ask stored results in SQL (DuckDB's), below a folder or s3:// URI. Views show the newest run of every
data set, rank_all, measures_all ... every run. SQL reads nothing else and writes nothing."""
RAW = argparse.RawDescriptionHelpFormatter


def run(arguments: Sequence[str] | None = None, program: str = "query.py") -> int:
    """Parse command line words, by default this process's own, ask, return the exit code."""
    command = argparse.ArgumentParser(program, None, DESCRIPTION, answers.help_text(), formatter_class=RAW)
    command.add_argument("sql", nargs="?", help="SQL; - reads it from standard input")
    command.add_argument("--output", help="where the other jobs wrote to (default: that of --config, or results)")
    command.add_argument("--config", action="append", default=[], help="a YAML file of the other jobs, for its output")
    command.add_argument("--format", choices=answers.FORMATS, default="table", help="default table")
    command.add_argument("--file", help="path or URI to write to; needed for parquet")
    command.add_argument("--list", action="store_true", help="show the views, their rows, runs and columns")
    given = command.parse_args(arguments)
    if given.list == (given.sql is not None):
        command.error("give either SQL or --list")
    settings = parse(program, "", [], [word for file in given.config for word in ("--config", file)])
    sql = sys.stdin.read() if given.sql == "-" else given.sql
    try:
        with connect(given.output or settings.output) as results:
            print(answers.describe(results) if given.list else answers.answer(results, sql, given.format, given.file))
    except (ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0
