"""What a job says at its end: the few numbers that matter, where the rest lies, and what to do next."""

from __future__ import annotations

import textwrap

from halfiqa_ray import storage
from halfiqa_ray.report.page.tables import headline
from halfiqa_ray.tables.stored.reading import Run, read_images
from halfiqa_ray.tables.writing import NOTICE

LINES, WIDTH = 25, 120


def summary(output: str, run: Run) -> str:
    """At most 25 lines of at most 120 characters, but for the output's own name, from the stored tables of a run."""
    images = len(read_images(run))
    lines = [
        f"== {run.dataset}, run {run.key}: {images:,} images scored with each of the {run.grid.subsets:,} subsets of "
        f"{run.grid.rows} x {run.grid.columns} blocks"
    ]
    lines += [NOTICE] if run.synthetic else []
    tiles = headline(output, run)
    if tiles:
        lines.append("Score with half of the blocks masked against that of the whole photo, PLCC with 95% intervals:")
        names, cells = (max(len(tile[key]) for tile in tiles) for key in ("name", "cell"))
        for tile in tiles:
            lines.append(f"  {tile['name']:<{names}}  {tile['cell']:<{cells}}  {tile['beside']}".rstrip())
    tables = storage.join(output, "tables")
    there = [file.rsplit("/", 1)[-1].removesuffix(".md") for file in storage.list_files(tables, ".md")]
    lines.append(where(output))
    lines.append(f"  {', '.join(there)}")
    lines.append("All tables in the terminal: the job `tables` with the same settings, or --verbose. Figures and page:")
    lines.append(f"  halfiqa report --output {output}")
    return "\n".join(_fitted(lines)[:LINES])


def _fitted(lines: list[str]) -> list[str]:
    """Lines broken between words where they are too long, with what they begin with."""
    fitted: list[str] = []
    for line in lines:
        start = " " * (len(line) - len(line.lstrip()))
        fitted += textwrap.wrap(
            line, WIDTH, subsequent_indent=start + "  ", break_long_words=False, break_on_hyphens=False
        )
    return fitted


def where(output: str) -> str:
    """The line that says where the tables of an output lie."""
    return f"Tables, as Parquet, CSV and Markdown: {storage.join(output, 'tables')}"
