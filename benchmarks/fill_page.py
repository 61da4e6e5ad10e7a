"""Fills the tables of a page of the docs from stored tables, so that no number in it is typed by hand.

In the page a table stands between two comments, which name the stored table and what of it is shown:

    <!-- table: section2 scope=test -->
    <!-- end -->

``shipped`` is no stored table: it is what the records of the shipped models of a data set say. ``trainings`` is what
`benchmarks.trainings` wrote.

    python -m benchmarks.fill_page --page docs/biq2021.md --tables docs/biq2021
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from benchmarks import trainings
from benchmarks.printing import run
from halfiqa_ray import storage
from halfiqa_ray.models import shipped
from halfiqa_ray.models.checkpoints import WEIGHTS, read_record
from halfiqa_ray.tables import section2_text
from halfiqa_ray.tables.beyond import carry_over
from halfiqa_ray.tables.experiments import PAGES
from halfiqa_ray.tables.writing import Cells, markdown_table, with_interval

BLOCK = re.compile(r"(<!-- table: (\w+)((?: \w+=[^ ]+)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, tables: Path) -> str:
    """The page with every table made anew. Raises ValueError for a table that is not stored, or shows no row."""
    return BLOCK.sub(lambda found: f"{found[1]}{_table(found[2], found[3], tables)}\n{found[4]}", text)


def _table(name: str, conditions: str, tables: Path) -> str:
    if name == "shipped":
        return _shipped(conditions.split("=")[1])
    stored = tables / f"{name}.parquet"
    if not stored.exists():
        raise ValueError(f"{stored} is not there: the page shows a table of it")
    wanted = dict(condition.split("=", 1) for condition in conditions.split())
    table = storage.read_table(str(stored))
    rows = [row for row in table.to_pylist() if all(str(row[key]) == value for key, value in wanted.items())]
    if not rows:
        raise ValueError(f"{stored} has no row with {conditions.strip()}")
    if name == "trainings":
        return trainings.markdown(rows)
    if name == "carry_over":
        return carry_over.markdown(pa.Table.from_pylist(rows, table.schema)).split("\n\n", 2)[2].strip()
    page = section2_text.PAGE if name == "section2" else PAGES[name]
    parts = [
        (f"**{part.title}**\n\n" if part.title else "") + markdown_table(part.header, part.rows)
        if isinstance(part, Cells)
        else part
        for part in page.section(rows)
    ]
    return "\n\n".join(parts)


def _shipped(dataset: str) -> str:
    """Agreement with MOS on the test split of every model that comes with the package, the best first."""
    rows = []
    for name in (name for name in shipped.names() if name.startswith(f"{dataset}/")):
        record = read_record(str(shipped.folder(name)))
        found, train, size = record.metrics["test"], record.train, record.preprocessing
        assert train is not None
        cells = [
            with_interval(value, *(ends or (None, None)))
            for value, ends in ((found.plcc, found.plcc_interval), (found.srcc, found.srcc_interval))
        ]
        epochs = " + ".join(str(stage.epochs) for stage in (train.main, train.finetune) if stage.epochs)
        megabytes = (shipped.folder(name) / WEIGHTS).stat().st_size / 1e6
        line = [name, f"{size.height} x {size.width}", epochs, *cells, f"{found.n:,}", f"{megabytes:.1f} MB"]
        rows.append((found.plcc, line))
    header = ["model", "input", "epochs", "PLCC", "SRCC", "n", "weights"]
    return markdown_table(header, [line for _, line in sorted(rows, reverse=True)])


def work(options: argparse.Namespace) -> Iterable[str]:
    """Fill the page in its place."""
    page = Path(options.page)
    page.write_text(fill(page.read_text(), Path(options.tables)))
    yield f"{page}: {len(BLOCK.findall(page.read_text()))} tables"


if __name__ == "__main__":
    run(__doc__, work, page="docs/biq2021.md", tables="docs/biq2021")
