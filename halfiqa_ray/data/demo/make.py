"""Write the demo data: real photographs, known damage, synthetic scores, in the layout of a published data set.

The folder then also holds

- ``SYNTHETIC.json``: that the scores are made up, by which formula, from which photos under which licences;
- ``split.csv`` (image_name,split): in the layouts of KonIQ-10k and SPAQ train, validation, test (photos never seen in
  training) and test_same_photo (areas of training photos that no training or validation crop touches); validation
  only chooses the epoch, and is new crops of the training areas, with other damage. In pyiqa's layout all is test;
- ``source_photos.csv`` (image_name,source_photo,split): what intervals must resample;
- ``damage.csv``: distortion, strength, damaged blocks (bit b = block b of the 3 x 4 grid, counted row by row from
  the top left), and where in the source photo the crop lies.

KonIQ's folders are named after its two photo sizes; these photos have neither, so they lie in the root.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image

from halfiqa_ray import storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.data.demo import designs, distortions, lists, photos, plan, scores, whole
from halfiqa_ray.data.demo.designs import DESIGNS
from halfiqa_ray.data.demo.plan import GRID, Sample

MARKER = "SYNTHETIC.json"
NOTICE = (
    "SYNTHETIC DATA: real photographs, degraded on purpose; the scores come from a formula and simulated raters, "
    "not from people. What compares with them says nothing about human judgement or about a published data set."
)
PACKAGES = ("numpy", "scipy", "pillow", "openpyxl", "scikit-image", "scikit-learn", "matplotlib")
JPEG_QUALITY = 96


@dataclass(frozen=True)
class DemoSummary:
    """What lies in a demo folder. ``written`` is false when it was already complete."""

    root: str
    layout: str
    images: dict[str, int]  # by split
    partly_damaged: dict[str, int]  # by split
    photos: dict[str, int]  # distinct source photos, by split
    written: bool

    def __str__(self) -> str:
        """Several lines for a person."""
        state = "written" if self.written else "already complete, nothing to do"
        lines = [f"synthetic demo data ({self.layout} layout) in {self.root}: {state}"]
        lines += [
            f"  {split:16}{count:5d} images of {self.photos[split]:2d} photos, "
            f"{self.partly_damaged[split]:4d} damaged in part"
            for split, count in self.images.items()
        ]
        return "\n".join(lines)


def run(settings: Settings) -> int:
    """Write the data set that ``data.root``, ``data.layout`` and ``seed`` name, and say what it holds.

    Returns the exit code 0. Raises as `make_demo`.
    """
    print(make_demo(settings.data.root, settings.data.layout, settings.seed))
    return 0


def make_demo(root: str, layout: str, seed: int = 1) -> DemoSummary:
    """Write the demo data below ``root`` (a path or URI); a complete folder of the same settings is left as it is.

    A folder that an interrupted run or other settings left is written anew: its marker says what is ours to
    replace. Raises ValueError for an unknown layout, FileExistsError when ``root`` holds other people's files, and
    FileNotFoundError when a package with photos is not installed.
    """
    if layout not in DESIGNS:
        raise ValueError(f"there is no demo data in layout {layout!r}; choose one of {sorted(DESIGNS)}")
    design = DESIGNS[layout]
    description = _describe(layout, seed)
    marker = storage.join(root, MARKER)
    before = _read_marker(root, layout)
    if before and before.get("complete") and before["fingerprint"] == description["fingerprint"]:
        present = {uri[len(root.rstrip("/")) + 1 :] for uri in storage.list_files(root, recursive=True)}
        if present.issuperset(before["files"]):
            found = before["counts"]
            return DemoSummary(root, layout, found["images"], found["partly_damaged"], found["photos"], False)
    storage.write_json(marker, {**description, "complete": False})

    records: list[tuple[str, Sample]] = []
    for index, sample in enumerate(design.samples(seed)):
        name = _image_name(layout, index, sample)
        storage.write_bytes(storage.join(root, design.folder + name), _encode(sample.pixels))
        records.append((name, sample))
    texts = {
        "split.csv": lists.split_list(records),
        "source_photos.csv": lists.source_list(records),
        "damage.csv": lists.damage_list(records),
        design.scores: design.score_list(records, seed),
    }
    for path, content in texts.items():
        storage.write_bytes(storage.join(root, path), content)
    files = sorted([*texts, MARKER, *(design.folder + name for name, _ in records)])
    if before:  # images of other settings
        for uri in storage.list_files(storage.join(root, design.folder), ".jpg"):
            if uri[len(root.rstrip("/")) + 1 :] not in files:
                storage.delete(uri)
    counts = _count(records)
    storage.write_json(marker, {**description, "complete": True, "counts": counts, "files": files})
    return DemoSummary(root, layout, counts["images"], counts["partly_damaged"], counts["photos"], True)


def _read_marker(root: str, layout: str) -> dict[str, Any] | None:
    """The marker of demo data in this layout, None for an empty or new folder; anything else is not ours to replace."""
    marker = storage.join(root, MARKER)
    found = storage.list_files(root)
    if storage.exists(marker):
        before = dict(storage.read_json(marker))
        if before.get("layout") == layout:
            return before
    if found:
        raise FileExistsError(
            f"{root} holds files that are not demo data in the {layout} layout (such as {found[0]}): "
            "choose an empty folder for the demo data"
        )
    return None


def _describe(layout: str, seed: int) -> dict[str, Any]:
    """Everything about the data that is known before they are made, with its fingerprint."""
    design, modules = DESIGNS[layout], (photos, distortions, plan, whole, scores, lists, designs)
    paths = [Path(module.__file__ or "") for module in modules] + [Path(__file__)]
    description = {
        "synthetic": True,
        "notice": NOTICE,
        "layout": layout,
        "seed": seed,
        "images": design.images,
        "sizes_width_height": design.sizes,
        "mos_formula": scores.FORMULA,
        "distortions": {
            name: {"parameter": kind.parameter, "strengths_1_to_4": list(kind.values), "weight": kind.weight}
            for name, kind in distortions.DISTORTIONS.items()
        },
        "placement": "crops and damaged rectangles are drawn until the luma of every damaged block changes by "
        f"{plan.VISIBLE_BLOCK} grey levels (root mean square; of a wholly damaged picture, by "
        f"{plan.VISIBLE_PICTURE}); after {plan.ATTEMPTS} draws the next photo of the split is tried (whole photos: a "
        "strength more, then the next distortion)",
        "crops": f"{design.crops}; stored as JPEG of quality {JPEG_QUALITY}, 4:4:4",
        "splits": design.splits,
        "source_photos": len(photos.PHOTOS),
        "photos": [
            {
                "name": photo.name,
                "files": dict(zip(photo.files, photo.sha256(), strict=True)),
                "licence": photo.licence,
                "attribution": photo.attribution,
            }
            for photo in photos.PHOTOS
        ],
        "left_out": photos.LEFT_OUT,
        "packages": {name: _version(name) for name in PACKAGES},
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest(),
    }
    return {**description, "fingerprint": fingerprint(description)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _image_name(layout: str, index: int, sample: Sample) -> str:
    """SPAQ's numbers, or a readable name; neither is read back."""
    if layout == "spaq":
        return f"{index + 1:05d}.jpg"
    kind = sample.damage.distortion if sample.blocks else "undamaged"
    return f"{index + 1:04d}_{sample.photo}_{kind}{sample.damage.strength or ''}.jpg"


def _encode(pixels: distortions.Picture) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue()


def _count(records: list[tuple[str, Sample]]) -> dict[str, dict[str, int]]:
    def by_split(keep: Callable[[Sample], bool]) -> dict[str, int]:
        found = Counter(sample.split for _, sample in records if keep(sample))
        return {split: found[split] for split in photos.SPLITS}

    pairs = {(sample.split, sample.photo) for _, sample in records}
    return {
        "images": by_split(lambda _: True),
        "partly_damaged": by_split(lambda sample: 0 < sample.blocks < GRID.full),
        "photos": {split: sum(pair[0] == split for pair in pairs) for split in photos.SPLITS},
    }
