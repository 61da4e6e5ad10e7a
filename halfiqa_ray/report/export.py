"""Photos with their important and their trivial half masked, as image files, as the paper published all of its own.

The files lie in figures/halves/DATASET/RUN-RULE/ and are named after the image, with a hash of its whole name: whatever
an image id holds, its files stay in the folder and no two images share one. ``index.parquet`` beside them says which is
which. An export can be killed and run again: files that are there are made anew only when the half in their name is
another one, or the photo was changed since.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from PIL import Image
from pyarrow import fs as pafs

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.photos.images import ImageError
from halfiqa_ray.report.dimming import with_blocks
from halfiqa_ray.report.figures.choose import read_halved
from halfiqa_ray.report.photos import open_upright, photo_uris
from halfiqa_ray.report.stored import Missing, wanted_rule
from halfiqa_ray.tables.stored.reading import Run

WORKERS = 4  # photos decoded, masked and written at a time: what is in memory
QUALITY = 90  # of the JPEG files
SAID = 5  # photos that failed and are named on the terminal
INDEX = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("important", pa.uint16(), nullable=False),  # bit set = block is in the important half
        pa.field("important_masked", pa.string(), nullable=False),  # file names
        pa.field("trivial_masked", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Wanted:
    """One photo to export: where it is read (None: not in the manifest), and which half is important."""

    image_id: str
    uri: str | None
    half: int

    @property
    def stem(self) -> str:
        """What its file names begin with, whatever the half: safe letters, and different for every image id."""
        name = self.image_id.rsplit("/", 1)[-1].rpartition(".")[0]
        safe = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60] or "photo"
        return f"{safe}-{hashlib.sha256(self.image_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}-"

    @property
    def files(self) -> tuple[str, str]:
        """Names of the files with the important and with the trivial half masked."""
        start = f"{self.stem}{self.half:04x}"
        return f"{start}-important_masked.jpg", f"{start}-trivial_masked.jpg"


def export(settings: Settings, run: Run) -> list[str]:
    """Export the halves of the photos that the setting report.export names; returns the URI of their index, if any.

    What cannot be read is counted, said, and stands in errors/stage=export.
    """
    if settings.report.export == "none":
        return []
    try:
        halved = read_halved(settings.output, run, wanted_rule(settings.output, run, settings.rank.rule))
        uris = photo_uris(settings.output, run.dataset)
    except Missing as missing:
        print(f"no halves of {run.dataset} exported: {missing}", flush=True)
        return []
    if halved.said:
        print(f"halves of {run.dataset}: {halved.said}", flush=True)
    if settings.report.export == "all":
        at: Sequence[int] = range(len(halved.images))
    else:
        at = halved.named(settings.report.images) or halved.first(halved.gap_N, settings.report.count)
    ids, halves = halved.images.image_id, halved.half_N.tolist()
    wanted = [Wanted(ids[i], uris.get(ids[i]), halves[i]) for i in at if halves[i]]
    folder = storage.join(settings.output, "figures", "halves", run.dataset, f"{run.key}-{halved.rule}")
    failed = export_photos(wanted, folder, run, settings.data.maximum_pixels, settings.compute.progress_seconds)
    if len(wanted) < len(at):
        print(f"{len(at) - len(wanted):,} images have no half by {halved.rule}", flush=True)
    errors = storage.join(settings.output, "errors", "stage=export", f"dataset={run.dataset}", f"run={run.key}")
    _write_errors(storage.join(errors, "errors.parquet"), failed)
    lost = {row["image_id"] for row in failed}
    rows = [
        dict(zip(INDEX.names, (one.image_id, one.half, *one.files), strict=True))
        for one in wanted
        if one.image_id not in lost
    ]
    index = storage.join(folder, "index.parquet")
    about = {name: run.metadata.get(name) for name in ("dataset", "model", "grid", "run_key")}
    about |= {"rule": halved.rule, "synthetic": run.synthetic}
    storage.write_table(index, pa.Table.from_pylist(rows, schema.with_metadata(INDEX, about)))
    return [index]


def export_photos(
    wanted: Sequence[Wanted], folder: str, run: Run, maximum_pixels: int, seconds: float
) -> list[dict[str, str | None]]:
    """Write the files of some photos, those that are not there or older than their photo; returns rows of errors.

    A line of progress every so many ``seconds``. Memory does not grow with the number of photos.
    """
    there = _files(folder)
    by_stem: dict[str, list[str]] = {}
    for name in there:
        by_stem.setdefault("-".join(name.split("-")[:2]) + "-", []).append(name)

    def one(photo: Wanted) -> tuple[Wanted, bool, ImageError | None]:
        """Whether the photo's files were written, or why not."""
        try:
            return photo, _export(photo, folder, run, maximum_pixels, there, by_stem.get(photo.stem, ())), None
        except ImageError as error:
            return photo, False, error

    failed: list[dict[str, str | None]] = []
    done = written = 0
    start = printed = time.monotonic()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for photo, fresh, error in pool.map(one, wanted):
            done, written = done + 1, written + fresh
            if error is not None:
                failed.append(
                    {"image_id": photo.image_id, "uri": photo.uri, "error": error.kind, "message": str(error)}
                )
            if time.monotonic() - printed >= seconds:
                printed = time.monotonic()
                print(f"halves exported: {done:,} of {len(wanted):,}, {len(failed):,} failed", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt ends after the photos at work
    print(
        f"halves exported: {written:,} photos in {time.monotonic() - start:.0f} s, "
        f"{done - written - len(failed):,} were there, {len(failed):,} failed; {folder}",
        flush=True,
    )
    for row in failed[:SAID]:
        print(f"  {row['message']}", flush=True)
    if len(failed) > SAID:
        print(f"  and {len(failed) - SAID:,} more, all of them below errors/stage=export", flush=True)
    return failed


def _export(
    photo: Wanted, folder: str, run: Run, maximum_pixels: int, there: dict[str, float], stored: Sequence[str]
) -> bool:
    """Write one photo's two files unless they are current, and delete those of another half. Raises ImageError."""
    if photo.uri is None:
        raise ImageError("missing_photo", f"{photo.image_id}: the manifest does not have this photo")
    if all(name in there for name in photo.files):
        try:
            changed = storage.modified(photo.uri)
        except OSError as error:
            raise ImageError("unreadable_photo", f"{photo.uri}: {error}") from error
        if changed <= min(there[name] for name in photo.files):
            return False
    pixels = open_upright(photo.uri, run, maximum_pixels)
    for name, kept in zip(photo.files, (run.grid.full ^ photo.half, photo.half), strict=True):
        try:
            stream = io.BytesIO()
            Image.fromarray(with_blocks(pixels, run.grid, kept)).save(stream, "JPEG", quality=QUALITY)
        except (OSError, ValueError) as error:  # larger than JPEG can be, or smaller than the grid
            raise ImageError("unsupported_photo", f"{photo.uri}: {error}") from error
        storage.write_bytes(storage.join(folder, name), stream.getvalue())
    for name in set(stored) - set(photo.files):
        storage.delete(storage.join(folder, name))
    return True


def _files(folder: str) -> dict[str, float]:
    """Names of the stored files, and when each was written (seconds since 1970)."""
    store, path = storage.filesystem(folder)
    infos = store.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return {info.base_name: (info.mtime_ns or 0) / 1e9 for info in infos if info.extension == "jpg"}


def _write_errors(uri: str, failed: list[dict[str, str | None]]) -> None:
    if failed:
        storage.write_table(uri, pa.Table.from_pylist(failed, schema.ERRORS))
    else:
        storage.delete(uri)
