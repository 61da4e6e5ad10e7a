"""`halfiqa look`: photos in, drawings and a page out."""

from __future__ import annotations

import argparse
import sys
import tempfile
import webbrowser
from pathlib import Path

from halfiqa_ray import storage
from halfiqa_ray.data.photos.images import ImageError
from halfiqa_ray.looking.model import load
from halfiqa_ray.looking.names import NoPhotos, photo_names
from halfiqa_ray.looking.page import Page
from halfiqa_ray.looking.scoring import block_grid, look, subset_scorer
from halfiqa_ray.looking.terminal import drawn, in_short, signs_for
from halfiqa_ray.report.names import printable


def run(given: argparse.Namespace) -> int:
    """Do what the parsed arguments (`arguments.make_parser`) ask for; returns the exit code.

    Raises ValueError or OSError when nothing can be done: no such model, no such grid, a page that cannot be written.
    """
    model, grid = load(given.model, given.device), block_grid(given.rows, given.columns)
    subset_scorer(model, grid)  # which fails at once for a model without subsets
    page = Page(model, grid)
    signs = signs_for(sys.stdout.encoding)
    wants_page = given.open or given.output is not None
    count = 0
    for name in photo_names(given.photos, sys.stdin):
        try:
            if isinstance(name, NoPhotos):
                raise name
            seen = look(model, name, rows=given.rows, columns=given.columns, rule=given.rule)
        except (ImageError, ValueError) as problem:
            page.failed.append(str(problem))
            print(f"halfiqa look: {printable(str(problem))}", file=sys.stderr, flush=True)
            continue
        count += 1
        lines = [in_short(seen)] if given.short else [*([""] if count > 1 else []), *drawn(seen, signs)]
        print("\n".join(lines), flush=True)
        if wants_page:
            page.add(seen)
    if wants_page and count:
        _show(page, given.output, given.open)
    if page.failed:
        print(f"halfiqa look: {len(page.failed)} of {count + len(page.failed)} could not be read", file=sys.stderr)
    if not count:
        return 2
    return 1 if page.failed else 0


def _show(page: Page, output: str | None, opens: bool) -> None:
    file = output or str(Path(tempfile.mkdtemp(prefix="halfiqa_")) / "look.html")
    page.write(file)
    told = f"page: {file}"
    if opens:
        told += "" if _open(file) else " (no browser could be started)"
    print(told, file=sys.stderr)


def _open(file: str) -> bool:
    if storage.is_remote(file):
        return False
    return webbrowser.open(Path(storage.absolute(file)).as_uri())
