"""The demo data's lists as bytes: the official score list of either layout, split, source photos and damage."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import openpyxl

from halfiqa_ray.data.demo import scores
from halfiqa_ray.data.demo.distortions import DISTORTIONS
from halfiqa_ray.data.demo.photos import SPLITS
from halfiqa_ray.data.demo.plan import GRID, Sample

Records = Sequence[tuple[str, Sample]]  # image name, image


def split_list(records: Records) -> bytes:
    """CSV image_name,split."""
    return _csv(("image_name", "split"), [(name, sample.split) for name, sample in records])


def source_list(records: Records) -> bytes:
    """CSV image_name,source_photo,split."""
    rows = [(name, sample.photo, sample.split) for name, sample in records]
    return _csv(("image_name", "source_photo", "split"), rows)


def damage_list(records: Records) -> bytes:
    """CSV of what was done to each image, where its crop lies in the source photo, and the score it should get."""
    header = (
        *("image_name", "source_photo", "split", "file", "distortion", "strength", "parameter", "damaged_blocks"),
        *("expected_mos", "x", "y", "crop_width", "crop_height", "width", "height"),
    )
    rows = []
    for name, sample in records:
        kind, strength = sample.damage.distortion, sample.damage.strength
        parameter = DISTORTIONS[kind].value(strength) if strength else ""
        expected = scores.expected_mos(kind, strength, _damaged_share(sample))
        height, width = sample.pixels.shape[:2]
        rows.append(
            (
                *(name, sample.photo, sample.split, sample.file, kind, strength, parameter, sample.blocks),
                *(round(expected, 6), *sample.box, width, height),
            )
        )
    return _csv(header, rows)


def _raters(seed: int, index: int) -> np.random.Generator:
    # A stream of its own, so that the pictures do not change when the raters do.
    return np.random.default_rng([seed, len(SPLITS), index])


def koniq_scores(records: Records, seed: int) -> bytes:
    """The official score list: votes as counts, MOS on 1-5, and the 0-100 column."""
    rows = []
    for index, (name, sample) in enumerate(records):
        expected = scores.expected_mos(sample.damage.distortion, sample.damage.strength, _damaged_share(sample))
        votes = scores.vote(expected, _raters(seed, index))
        rows.append((name, *votes.counts, votes.total, votes.mos, votes.deviation, votes.zscore))
    header = ("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "MOS_zscore")
    return _csv(header, rows, csv.QUOTE_NONNUMERIC)


def pyiqa_scores(records: Records, seed: int) -> bytes:
    """A list in pyiqa's style: the 0-100 stand-in of the simulated votes' mean."""
    rows = []
    for index, (name, sample) in enumerate(records):
        expected = scores.expected_mos(sample.damage.distortion, sample.damage.strength, _damaged_share(sample))
        rows.append((name, scores.vote(expected, _raters(seed, index)).zscore))
    return _csv(("img_name", "mos"), rows)


def spaq_scores(records: Records, seed: int) -> bytes:
    """The official workbook."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Image name", "MOS", *scores.SPAQ_ATTRIBUTES])
    for index, (name, sample) in enumerate(records):
        mos, attributes = scores.rate(
            sample.damage.distortion, sample.damage.strength, _damaged_share(sample), _raters(seed, index)
        )
        sheet.append([name, mos, *attributes.values()])
    stream = io.BytesIO()
    book.save(stream)
    return _without_times(stream.getvalue())


def _without_times(workbook: bytes) -> bytes:
    """The same workbook with every time stamp set to 1980, so that two runs write the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as source, zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", content)
            target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _damaged_share(sample: Sample) -> float:
    return sample.blocks.bit_count() / GRID.blocks


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]], quoting: Literal[0, 2] = 0) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=quoting, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue().encode()
