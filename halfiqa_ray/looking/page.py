"""Looks as one page: a gallery and the block explorer, in one file that fetches nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from halfiqa_ray import storage
from halfiqa_ray.looking.model import LoadedModel
from halfiqa_ray.looking.result import Look
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.names import printable
from halfiqa_ray.report.page.html import small, templates
from halfiqa_ray.report.page.packing import number, numbers, packed, picture_uri, quantise, restore
from halfiqa_ray.report.scale import LEVELS, digits


class Page:
    """A page that photos are added to one by one; of each it keeps what the page says, and no more."""

    def __init__(self, model: LoadedModel, grid: Grid) -> None:
        self.model, self.grid = model, grid
        self.gallery: list[dict[str, Any]] = []
        self.explorer: list[dict[str, Any]] = []
        self.rules: dict[str, None] = {}
        self.rule: str | None = None
        self.failed: list[str] = []
        self.largest_error = 0.0

    def add(self, look: Look) -> None:
        """Put a photo into the page."""
        low, high, steps_S = quantise(look.scores)
        self.largest_error = max(self.largest_error, float(abs(restore(low, high, steps_S) - look.scores).max()))
        self.rule = self.rule or look.rule
        self.rules |= dict.fromkeys(look.importance)
        gap = abs(look.trivial_score - look.score) - abs(look.important_score - look.score)
        self.gallery.append(
            {
                "id": look.name,
                "name": printable(look.name),
                "split": None,
                "score": number(look.score),
                "mos": None,
                "gap": number(gap),
                "damage": None,
            }
        )
        self.explorer.append(
            {
                "picture": picture_uri(look.picture),
                "note": "",
                "shape": look.picture.shape[:2],
                "low": low,
                "high": high,
                "scores": packed(steps_S),
                "levels": numbers(look.levels),
                "shapley": numbers(look.shapley),
                "importance": {rule: numbers(of) for rule, of in look.importance.items() if rule != "shapley"},
                "halves": look.halves,
                "measures": {},
                "zeroed": {},
            }
        )

    def write(self, uri: str) -> None:
        """Write the page, whole or not at all. Raises ValueError when no photo was added."""
        if not self.gallery:
            raise ValueError("a page needs at least one photo that could be read")
        storage.write_text(uri, self.render())

    def render(self) -> str:
        """The page as HTML."""
        record, scale = self.model.record, self.model.record.mos_scale
        environment = templates()
        environment.filters["small"] = small
        about = {
            "dataset": self.model.name,  # what the explorer writes beside the number of blocks
            "synthetic": record.synthetic,
            "rows": self.grid.rows,
            "columns": self.grid.columns,
            "low": scale.low,
            "high": scale.high,
            "digits": digits(scale.low, scale.high),
            "levels": LEVELS,
            "rule": self.rule,
            "rules": list(self.rules),
            "photos": self.gallery,
        }
        return environment.get_template("look.html.j2").render(
            model=self.model.name,
            record=record,
            about=about,
            photos=self.explorer,
            failed=self.failed,
            largest_error=self.largest_error,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
