"""The real photographs behind the demo data: where installed packages keep them, their licences, their areas.

An area is a rectangle of a photo from which a split draws its crops; `validation`, which only chooses the epoch,
draws new ones from the training areas. The areas of one photo do not overlap, so a `test_same_photo` crop shares no
pixel with a training or validation crop. Photos whose only area is `test` are never seen in training.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SPLITS = ("train", "validation", "test", "test_same_photo")
CC0 = "CC0-1.0"
CC_BY = "CC-BY-2.0 (https://creativecommons.org/licenses/by/2.0/); changed: cropped, scaled, degraded"
PUBLIC_DOMAIN = "public domain"
# Photos in the same packages that are left out, and why: kept beside the data so that nobody has to guess.
LEFT_OUT = {
    "hubble_deep_field": "mostly black sky, in which damage does not show",
    "moon, clock_motion": "already of low contrast, or blurred, so the undamaged crop would not deserve its score",
    "brick, gravel": "texture-library tiles that may be rendered rather than photographed",
    "page, text": "smaller than a crop",
    "cell, microaneurysms, phantom, color, logo, horse": "not photographs of a scene",
}


@dataclass(frozen=True)
class Area:
    """A rectangle of one photo that belongs to one split, in source pixels; right and bottom are exclusive."""

    split: str
    left: int
    top: int
    right: int
    bottom: int
    file: int = 0  # which of the photo's files
    scales: tuple[float, float] = (1.0, 1.5)  # a crop spans this many source pixels a pixel: 1 or more, never upscaled

    @property
    def width(self) -> int:
        """Width in source pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Height in source pixels."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Photo:
    """One source photo (a stereo pair counts as one): its files, licence, attribution and areas."""

    name: str
    files: tuple[str, ...]  # PACKAGE/path inside the package
    licence: str
    attribution: str
    areas: tuple[Area, ...]
    grey: bool = False

    def paths(self) -> list[Path]:
        """The files on disk. Raises FileNotFoundError that names the package to install."""
        return [_package_file(file) for file in self.files]

    def sha256(self) -> list[str]:
        """SHA-256 (hex) of each file."""
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.paths()]

    def pixels(self) -> list[NDArray[np.uint8]]:
        """Each file decoded to RGB: uint8 (height, width, 3)."""
        decoded = []
        for path in self.paths():
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                decoded.append(np.asarray(image.convert("RGB")))
        return decoded


def _package_file(file: str) -> Path:
    """Find PACKAGE/path without importing the package (skimage and sklearn take seconds)."""
    package, _, rest = file.partition("/")
    found = importlib.util.find_spec(package)
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        path = Path(folder) / rest
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"the demo data need the photo {file}, which the installed packages do not have: "
        "install halfiqa_ray with its demo extra (pip install 'halfiqa_ray[demo]')"
    )


def _wide(width: int, height: int) -> tuple[Area, ...]:
    """Wide photos: the left is for training; the right 256 columns are held out."""
    return Area("train", 0, 0, width - 256, height), Area("test_same_photo", width - 256, 0, width, height)


def _square(width: int, height: int) -> tuple[Area, ...]:
    """Square photos: the top is for training; the bottom 192 rows are held out."""
    return Area("train", 0, 0, width, height - 192), Area("test_same_photo", 0, height - 192, width, height)


def _unseen(width: int, height: int) -> tuple[Area, ...]:
    return (Area("test", 0, 0, width, height),)


# The right view shows what the left view shows up to 60 pixels further left (its disparity map: 7.2 to 59.9), so its
# training area ends 60 columns earlier to keep out of the scene that the left view's held-out areas show.
MOTORCYCLE_DISPARITY = 60
_MOTORCYCLE = (*_wide(741, 500), Area("train", 0, 0, 741 - 256 - MOTORCYCLE_DISPARITY, 500, file=1))
# The right half above the lights is plain evening sky, where little damage shows.
_ROCKET = (Area("train", 0, 0, 384, 427), Area("test_same_photo", 384, 213, 640, 427))

PHOTOS = (
    Photo(
        "astronaut",
        ("skimage/data/astronaut.png",),
        PUBLIC_DOMAIN,
        "NASA: Eileen Collins, https://flic.kr/p/r9qvLn, from scikit-image",
        _square(512, 512),
    ),
    Photo(
        "coffee",
        ("skimage/data/coffee.png",),
        CC0,
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, from scikit-image",
        _wide(600, 400),
    ),
    Photo(
        "coins",
        ("skimage/data/coins.png",),
        "no known copyright restrictions",
        "Brooklyn Museum Collection: Greek coins from Pompeii, from scikit-image",
        (Area("train", 0, 0, 384, 303),),
        grey=True,
    ),
    Photo(
        "flower",
        ("sklearn/datasets/images/flower.jpg",),
        CC_BY,
        "https://www.flickr.com/photos/vultilion/6056698931 (the package's README also names danielbuechele), "
        "from scikit-learn",
        (Area("train", 0, 0, 640, 427),),
    ),
    Photo(
        "grass",
        ("skimage/data/grass.png",),
        CC0,
        "linolafett, https://www.deviantart.com/linolafett/art/Grass-01-434853879, from scikit-image",
        _square(512, 512),
        grey=True,
    ),
    Photo(
        "ihc",
        ("skimage/data/ihc.png",),
        "no known copyright restrictions",
        "Center for Microscopy and Molecular Imaging: stained tissue, from scikit-image",
        _square(512, 512),
    ),
    Photo(
        "motorcycle",
        ("skimage/data/motorcycle_left.png", "skimage/data/motorcycle_right.png"),
        "as distributed by scikit-image (BSD-3-Clause)",
        "Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014), from scikit-image",
        _MOTORCYCLE,
    ),
    Photo(
        "retina",
        ("skimage/data/retina.jpg",),
        CC0,
        "Mikael Häggström, doi 10.15347/wjm/2014.008, from scikit-image",
        (Area("train", 210, 240, 1200, 1170, scales=(2.0, 2.5)),),  # inside the disc
    ),
    Photo(
        "rocket",
        ("skimage/data/rocket.jpg",),
        PUBLIC_DOMAIN,
        "SpaceX: launch of DSCOVR, https://www.flickr.com/photos/spacexphotos/16511594820, from scikit-image",
        _ROCKET,
    ),
    Photo(
        "camera",
        ("skimage/data/camera.png",),
        CC0,
        "Lav Varshney, from scikit-image",
        _unseen(512, 512),
        grey=True,
    ),
    Photo(
        "chelsea",
        ("skimage/data/chelsea.png",),
        CC0,
        "Stefan van der Walt, from scikit-image",
        _unseen(451, 300),
    ),
    Photo(
        "china",
        ("sklearn/datasets/images/china.jpg",),
        CC_BY,
        "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035, from scikit-learn",
        _unseen(640, 427),
    ),
    Photo(
        "grace_hopper",
        ("matplotlib/mpl-data/sample_data/grace_hopper.jpg",),
        PUBLIC_DOMAIN,
        "United States Navy portrait of Grace Hopper, from matplotlib (its pull request 1599 states the licence)",
        _unseen(512, 600),
    ),
)


def area_of(split: str) -> str:
    """The kind of area that ``split`` draws from: validation shares that of training."""
    return "train" if split == "validation" else split


def photos_of(split: str) -> list[Photo]:
    """The photos that have an area for ``split``, in the order of ``PHOTOS``."""
    return [photo for photo in PHOTOS if any(area.split == area_of(split) for area in photo.areas)]
