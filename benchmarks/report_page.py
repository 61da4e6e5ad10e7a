"""The report page of 20, 200 and 1,000 photos: its size, the time to make it, and until it answers in a browser.

Rank rows are those of a finished demo output (`make reproduce-demo`), one after the other and again from
the start, under new image ids; their pictures are crops of 512 x 384 from the demo's source photographs, since the
demo's own of 256 x 192 would make the page too small. Tables are the demo's; figures, which do not hang on the number
of photos, are left out. Times in the browser are medians of the repeats; it is the system's Chromium, driven by
playwright, so that clicks are answered some milliseconds later than a hand's.

    python -m benchmarks.report_page --output benchmarks/results/report_page.md
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.printing import machine, run
from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.demo.photos import PHOTOS
from halfiqa_ray.data.manifest import FILE_NAME, Row, folder, to_table
from halfiqa_ray.report.page import page
from halfiqa_ray.tables.stored.reading import Run, find_run, read_rows

COUNTS = (20, 200, 1000)
WIDTH, HEIGHT = 512, 384
PICTURES = 200  # different crops


def write_output(source: Run, tables: Path, output: Path, count: int) -> Settings:
    """An output folder with ``count`` photos; returns the settings of its page."""
    rows = read_rows(source)
    taken = rows.take(pa.array(np.arange(count) % rows.num_rows))
    ids = [f"{i:04d}/{name}" for i, name in enumerate(taken["image_id"].to_pylist())]
    taken = taken.set_column(0, taken.schema.field("image_id"), pa.array(ids))
    place = output / "rank" / f"dataset={source.dataset}" / f"run={source.key}" / "data-0.parquet"
    storage.write_table(str(place), taken.replace_schema_metadata(rows.schema.metadata), 512)
    shutil.copytree(tables, output / "tables")
    pictures = list(write_pictures(output / "photos", min(count, PICTURES)))
    listed = [Row(name, pictures[i % len(pictures)]) for i, name in enumerate(ids)]
    about = {"dataset": source.dataset, "synthetic": source.synthetic}
    storage.write_table(f"{folder(str(output), source.dataset)}/{FILE_NAME}", to_table(listed, None, about))
    return Settings(output=str(output), report={"photos": count})


def write_pictures(output: Path, count: int) -> Iterator[str]:
    """Crops of the source photographs that are large enough, one after the other; yields their paths."""
    large = [p for photo in PHOTOS for p in photo.pixels() if p.shape[0] >= HEIGHT and p.shape[1] >= WIDTH]
    draw = np.random.default_rng(0)
    output.mkdir(parents=True)
    for number in range(count):
        pixels = large[number % len(large)]
        top, left = (
            draw.integers(0, length - size + 1) for length, size in zip(pixels.shape, (HEIGHT, WIDTH), strict=False)
        )
        path = output / f"{number:03d}.jpg"
        Image.fromarray(pixels[top : top + HEIGHT, left : left + WIDTH]).save(path, quality=92)
        yield str(path)


def visit(browser: Any, file: str) -> dict[str, float]:
    """Milliseconds until the page is parsed, and until its first photo is open and a block's click is answered."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    start = time.perf_counter()
    tab.goto(f"file://{file}", wait_until="commit")
    tab.locator(".gallery a").first.click()
    tab.locator("[data-block='5']").click()
    tab.locator("#kept", has_text="11").wait_for()
    answered = 1000 * (time.perf_counter() - start)
    parsed = tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    heap = tab.evaluate("performance.memory.usedJSHeapSize")
    block = tab.evaluate(
        """() => { const start = performance.now(); let count = 0;
          for (const block of document.querySelectorAll('[data-block]')) { block.click(); count++; }
          return (performance.now() - start) / count; }"""
    )
    tab.close()
    return {"parsed": parsed, "answered": answered, "heap": heap / 2**20, "block": block}


def measure(chosen: argparse.Namespace) -> list[str]:
    """All rows of the table, as Markdown lines."""
    from playwright.sync_api import sync_playwright

    source = find_run(chosen.source, chosen.dataset)
    lines = [
        f"{machine()}; rank rows of {source.dataset}, {source.grid.rows} x {source.grid.columns} blocks, pictures of "
        f"{WIDTH} x {HEIGHT} shown at {Settings().report.thumbnail} pixels; "
        f"medians of {chosen.repeats}, the making once; no figures; "
        f"load average before {os.getloadavg()[0]:.1f}.",
        "",
        "| photos | page, MB | seconds to make | DOMContentLoaded, ms | first answer, ms | a click, ms | heap, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(
            executable_path=chosen.chromium, args=["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
        )
        for count in COUNTS:
            settings = write_output(source, Path(chosen.source) / "tables", Path(scratch) / str(count), count)
            start = time.perf_counter()
            file = page.write_page(settings, page.shown_runs(settings), {})
            made = time.perf_counter() - start
            seen = [visit(browser, file) for _ in range(chosen.repeats + 1)][1:]
            of = {name: statistics.median(one[name] for one in seen) for name in seen[0]}
            lines.append(
                f"| {count:,} | {Path(file).stat().st_size / 1e6:.1f} | {made:.1f} | {of['parsed']:.0f} | "
                f"{of['answered']:.0f} | {of['block']:.1f} | {of['heap']:.0f} |"
            )
        browser.close()
    return lines


if __name__ == "__main__":
    run(
        __doc__,
        measure,
        source="results/made_up",
        dataset="koniq10k-demo",
        chromium=shutil.which("chromium") or "chromium",
        repeats=5,
    )
