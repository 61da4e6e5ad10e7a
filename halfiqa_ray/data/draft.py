"""A manifest in the making: what lists and files beside the photos say of a data set, and how far its rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.data import manifest, problems, splits
from halfiqa_ray.data.lists import sidecars
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.lists.sidecars import Sidecars
from halfiqa_ray.data.manifest import Listing, Row
from halfiqa_ray.data.problems import Problem
from halfiqa_ray.data.splitting import Splitting

FORMAT = 1  # of the manifest; a higher one makes every data set anew


@dataclass
class Draft:
    """The photos of a data set on their way into the manifest.

    In this order: `read`; `name_source_photos`; where ``splitting.drawn``, the spatial information of ``rows``, and
    `leave_out` of those that cannot be read; `assign_splits`; `table`. Each step takes ``rows`` and ``problems`` as the
    one before left them.
    """

    settings: Settings
    listing: Listing  # as it was read
    beside: Sidecars
    splitting: Splitting
    inputs: str  # SHA-256 (hex) of all that was read: the same inputs give the same manifest
    rows: list[Row]  # those that are still in
    problems: list[Problem]
    retry: bool = False  # whether some photo may be readable another time
    notes: list[str] = field(default_factory=list)  # for the user

    @classmethod
    def read(cls, settings: Settings) -> Draft:
        """All that lists and files beside the photos say. Raises DataError when the data set cannot be read at all."""
        data = settings.data
        listing = read_listing(data)
        beside = sidecars.read(listing.root)
        splitting = Splitting.of(data, listing, beside.splits)
        inputs = fingerprint(
            {
                "format": FORMAT,
                "data": data.model_dump(mode="json"),
                "seed": settings.seed if splitting.drawn else None,
                "listing": listing.content_hash(),
                "beside": repr(beside),
                "split": splitting.published.sha256 if splitting.published else None,
            }
        )
        return cls(settings, listing, beside, splitting, inputs, listing.rows, list(listing.problems))

    def name_source_photos(self) -> None:
        """Say of which photo each image is a crop, where a file beside the photos does."""
        if self.beside.source_photos is not None:
            self.problems += sidecars.fill_source_photos(self.rows, self.beside.source_photos)

    def leave_out(self, unreadable: Sequence[Problem]) -> None:
        """Take out the photos that cannot be read; those of a list are problems of its rows."""
        lost = {problem.image_id for problem in unreadable}
        self.retry = any(problem.kind in problems.PASSING for problem in unreadable)
        self.rows = [row for row in self.rows if row.image_id not in lost]
        self.problems += [
            replace(problem, file=self.listing.file if problem.row is not None else None) for problem in unreadable
        ]

    def assign_splits(self) -> None:
        """Give every photo its split."""
        found, self.notes = self.splitting.assign(self.rows, self.listing.mos_scale, self.settings.seed)
        self.problems += found

    @property
    def split_hash(self) -> str:
        """SHA-256 (hex) of the splits of all photos."""
        return splits.split_hash({row.image_id: row.split for row in self.rows})

    def table(self) -> pa.Table:
        """The manifest (schema.MANIFEST)."""
        data, scale, splitting = self.settings.data, self.listing.mos_scale, self.splitting
        metadata = {
            "dataset": data.dataset,
            "layout": data.layout,
            "root": self.listing.root,
            "mos_scale": {"low": scale[0], "high": scale[1]} if scale else None,
            "synthetic": self.beside.synthetic,
            "synthetic_notice": self.beside.notice,
            "source_note": self.beside.notice or self.listing.source_note,
            "scores": self.listing.file,
            "scores_sha256": self.listing.file_sha256,
            "split_source": splitting.source,
            "validation_share": splitting.cut or None,
            "seed": self.settings.seed if splitting.drawn else None,
            "split_hash": self.split_hash,
            "inputs": self.inputs,
            "problems": len(self.problems),
            "retry": self.retry,
        }
        return manifest.to_table(self.rows, splitting.source, metadata)
