"""Write the demo data: real photographs, known damage, synthetic scores, in KonIQ-10k's or SPAQ's own layout.

The folder then also holds

- ``SYNTHETIC.json``: that the scores are made up, by which formula, from which photos under which licences;
- ``split.csv`` (image_name,split): train, validation, test (photos never seen in training) and test_same_photo
  (areas of training photos that no training or validation crop touches); validation only chooses the epoch, and
  is new crops of the training areas, with other damage;
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
from halfiqa_ray.data.demo import distortions
from halfiqa_ray.data.demo import lists as demo_lists
from halfiqa_ray.data.demo import photos as demo_photos
from halfiqa_ray.data.demo import plan as demo_plan
from halfiqa_ray.data.demo import scores as demo_scores
from halfiqa_ray.data.demo.plan import GRID, Sample

MARKER = "SYNTHETIC.json"
NOTICE = (
    "SYNTHETIC DATA: real photographs, degraded on purpose; the scores come from a formula and simulated raters, "
    "not from people. Nothing computed from them says anything about human judgement or about KonIQ-10k or SPAQ."
)
SCORES = {
    "koniq10k": "koniq10k_scores_and_distributions.csv",
    "spaq": "Annotations/MOS and Image attribute scores.xlsx",
}
SIZES = {  # width, height; SPAQ's are landscape and portrait, some not divisible by the grid
    "koniq10k": ((256, 192),),
    "spaq": ((256, 192), (240, 180), (200, 150), (320, 240), (144, 192), (150, 200), (192, 256), (240, 320)),
}
COUNTS: dict[str, dict[str, int]] = {
    "koniq10k": {"train": 600, "validation": 96, "test": 72, "test_same_photo": 72},
    "spaq": {"train": 120, "validation": 24, "test": 36, "test_same_photo": 32},
}
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
    if layout not in COUNTS:
        raise ValueError(f"there is no demo data in layout {layout!r}; choose one of {sorted(COUNTS)}")
    description = _describe(layout, seed)
    marker = storage.join(root, MARKER)
    before = _read_marker(root, layout)
    if before and before.get("complete") and before["fingerprint"] == description["fingerprint"]:
        present = {uri[len(root.rstrip("/")) + 1 :] for uri in storage.list_files(root, recursive=True)}
        if present.issuperset(before["files"]):
            found = before["counts"]
            return DemoSummary(root, layout, found["images"], found["partly_damaged"], found["photos"], False)
    storage.write_json(marker, {**description, "complete": False})

    samples = demo_plan.samples(COUNTS[layout], SIZES[layout], seed)
    records: list[tuple[str, Sample]] = []
    for index, sample in enumerate(samples):
        name = _image_name(layout, index, sample)
        storage.write_bytes(storage.join(root, _folder(layout) + name), _encode(sample.pixels))
        records.append((name, sample))
    lists = {
        "split.csv": demo_lists.split_list(records),
        "source_photos.csv": demo_lists.source_list(records),
        "damage.csv": demo_lists.damage_list(records),
        SCORES[layout]: demo_lists.koniq_scores(records, seed)
        if layout == "koniq10k"
        else demo_lists.spaq_scores(records, seed),
    }
    for path, content in lists.items():
        storage.write_bytes(storage.join(root, path), content)
    files = sorted([*lists, MARKER, *(_folder(layout) + name for name, _ in records)])
    if before:  # images of other settings
        for uri in storage.list_files(storage.join(root, _folder(layout)), ".jpg"):
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
    modules = (demo_photos, distortions, demo_plan, demo_scores, demo_lists)
    paths = [Path(module.__file__ or "") for module in modules] + [Path(__file__)]
    description = {
        "synthetic": True,
        "notice": NOTICE,
        "layout": layout,
        "seed": seed,
        "images": COUNTS[layout],
        "sizes_width_height": SIZES[layout],
        "mos_formula": demo_scores.FORMULA,
        "distortions": {
            name: {"parameter": kind.parameter, "strengths_1_to_4": list(kind.values), "weight": kind.weight}
            for name, kind in distortions.DISTORTIONS.items()
        },
        "placement": "crops and damaged rectangles are drawn until the luma of every damaged block changes by "
        f"{demo_plan.VISIBLE_BLOCK} grey levels (root mean square; of a wholly damaged picture, by "
        f"{demo_plan.VISIBLE_PICTURE}); after {demo_plan.ATTEMPTS} draws the next photo of the split is tried",
        "crops": "scaled down by 1 to 1.5 (retina 2 to 2.5), never up; crops of one split may overlap each other; "
        f"stored as JPEG of quality {JPEG_QUALITY}, 4:4:4",
        "splits": "test: photos never seen in training; test_same_photo: areas of training photos that share no pixel "
        "with any crop of another split (for the stereo pair: no scene point); validation, which only chooses the "
        "epoch: new crops of the training areas, which training crops overlap",
        "source_photos": len(demo_photos.PHOTOS),
        "photos": [
            {
                "name": photo.name,
                "files": dict(zip(photo.files, photo.sha256(), strict=True)),
                "licence": photo.licence,
                "attribution": photo.attribution,
            }
            for photo in demo_photos.PHOTOS
        ],
        "left_out": demo_photos.LEFT_OUT,
        "packages": {name: _version(name) for name in PACKAGES},
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest(),
    }
    return {**description, "fingerprint": fingerprint(description)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _folder(layout: str) -> str:
    return "TestImage/" if layout == "spaq" else ""


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
        return {split: found[split] for split in demo_photos.SPLITS}

    pairs = {(sample.split, sample.photo) for _, sample in records}
    return {
        "images": by_split(lambda _: True),
        "partly_damaged": by_split(lambda sample: 0 < sample.blocks < GRID.full),
        "photos": {split: sum(pair[0] == split for pair in pairs) for split in demo_photos.SPLITS},
    }
