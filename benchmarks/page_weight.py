"""What the page of both demo data sets weighs, 200 photos of each and every figure, and what of it weighs most.

The pictures are the demo's own, scores and values around them planted, so that no model has to run: their bytes do not
hang on what they say. All that a whole experiment shows is there: measures, five models' zeroed scores, explanations.

    make reproduce-demo    # or its first two commands: the pictures
    python -m benchmarks.page_weight --output benchmarks/results/page_weight.md
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from benchmarks.printing import run
from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.manifest import FILE_NAME, Row, folder, to_table
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.figures import draw
from halfiqa_ray.report.page import page
from tests.report import planted_report

COUNT = 200
LIMIT = 15.0  # MB
GRID = Grid(3, 4)
MODELS = ("triq", "aihiqnet", "koncept", "dbcnn", "swin_iqa")
DATA_SETS = {"planted": "koniq10k", "second": "spaq"}  # names of data sets, and the demo's folders
PARTS = {
    "pictures": r'"picture": ?"([^"]*)"',
    "scores of all subsets": r'"scores": ?"([^"]*)"',
    "figures": r"(<svg.*?</svg>)",
}


def write_output(output: Path, dataset: str, photos: list[Path]) -> None:
    """Rank rows of a data set, and what its figures need."""
    table, half = planted_report.plant(output, count=COUNT, grid=GRID, dataset=dataset)
    ids = table["image_id"].to_pylist()
    rows = [Row(name, str(photo)) for name, photo in zip(ids, photos, strict=True)]
    storage.write_table(f"{folder(str(output), dataset)}/{FILE_NAME}", to_table(rows, None, {"dataset": dataset}))
    planted_report.measure(output, table, half, GRID, dataset=dataset)
    if dataset == "planted":  # the only one that these can be planted for
        planted_report.zero(output, table, half, GRID, MODELS)
        planted_report.store_maps(output, ids[:4], models=MODELS)
    planted_report.make_tables(output, dataset)


def measure(chosen: argparse.Namespace) -> list[str]:
    """The page's weight, as Markdown lines."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch)
        for dataset, name in DATA_SETS.items():
            found = sorted((Path(chosen.source) / name).rglob("*.jpg"))
            write_output(output, dataset, found[:: len(found) // COUNT][:COUNT])
        settings = Settings(output=str(output), report={"photos": COUNT})
        runs = page.shown_runs(settings)
        figures = {one.dataset: [*draw.data_figures(settings, one), *draw.photo_figures(settings, one)] for one in runs}
        text = storage.read_bytes(page.write_page(settings, runs, figures)).decode()
    whole = len(text.encode()) / 1e6
    lines = [
        f"{len(DATA_SETS)} data sets, {COUNT} photos of each, at {settings.report.thumbnail} pixels at most; "
        f"{sum(not one.missing for some in figures.values() for one in some)} figures: {whole:.1f} MB "
        f"(at most {LIMIT:.0f} are meant).",
        "",
        "| part | MB |",
        "|---|---|",
    ]
    weights = {name: sum(map(len, re.findall(p, text, re.DOTALL))) / 1e6 for name, p in PARTS.items()}
    weights["everything else"] = whole - sum(weights.values())
    lines += [f"| {name} | {weight:.1f} |" for name, weight in weights.items()]
    if whole > LIMIT:
        raise SystemExit(f"the page weighs {whole:.1f} MB, more than {LIMIT} MB")
    return lines


if __name__ == "__main__":
    run(__doc__, measure, source="results/made_up/data")
