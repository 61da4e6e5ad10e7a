"""What tasks of a stream run besides the stages. A process that runs tasks imports the files of what it runs: from here
neither torch nor a model's code comes along, which only the actors need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class InTurn:
    """Stages one after the other in one task."""

    stages: list[Callable[[pa.Table], pa.Table]]

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Through all of them."""
        for stage in self.stages:
            rows = stage(rows)
        return rows


@dataclass(frozen=True)
class Tell:
    """Tells the counter of rows that go by."""

    counter: Any

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows as they are."""
        self.counter.add.remote(rows.num_rows, rows.num_rows - rows["error"].null_count)
        return rows
