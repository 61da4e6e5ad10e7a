"""Whatever lies in a folder comes out as a row, an error or in a count: nothing is lost in silence, nothing hangs."""

import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.photos.images import KINDS, Bounds, decode, read_photo
from halfiqa_ray.stages.decode import Decode
from tests.data import odd_photos

# Of all kinds these are certain: how many files are photos, and what the others are.
GOOD = {
    "ordinary": 8,
    "EXIF orientations": 16,
    "animations, several pages": 4,
    "transparency, palettes": 7,
    "16 bits": 5,
    "CMYK, YCCK, LAB": 4,
    "1 pixel, long and thin": 6,
    "odd names": len(odd_photos.NAMES),
    "folders named as photos": 1,
    "symbolic links": 3,  # one file, by its name and by two links
    "orientation in XMP": 8,
    "folders of systems": 0,
    "what a job wrote": 3,
    "other kinds by a photo's name": 0,
    "hidden": 0,
    "not photos by extension": 0,
    "32 bits": 0,
    "empty, no picture": 0,
    "a terabyte of nothing": 0,
    "pipes, sockets, devices": 0,
    "names that are not UTF-8": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("odd")
    odd_photos.write_all(place / "photos", place / "outside", odd_photos.pictures())
    yield place / "photos"
    (place / "photos" / "not to be read" / "closed").chmod(0o700)  # or pytest cannot remove it


def test_every_file_is_accounted_for(folder):
    listing = read_listing(DataSettings(root=str(folder)))
    columns = {"image_id": [row.image_id for row in listing.rows], "uri": [row.uri for row in listing.rows]}
    start = time.monotonic()
    decoded = Decode(32, 48, bounds=Bounds(seconds=60))(pa.table(columns)).to_pylist()
    assert time.monotonic() - start < 60
    errors = {row["image_id"]: row["error"] for row in decoded if row["error"]}
    assert set(errors.values()) <= set(KINDS)
    assert not {"decoder_died", "decoder_too_slow", "decoder_out_of_memory"} & set(errors.values())
    told = {row["image_id"] for row in decoded} | {problem.image_id for problem in listing.problems}
    assert odd_photos.unaccounted(folder, told) == []
    good = Counter(row["image_id"].split("/")[0] for row in decoded if not row["error"])
    assert {kind: good[kind] for kind in GOOD} == GOOD
    assert not any("secret" in row["image_id"] or "passwd" in row["image_id"] for row in decoded)
    assert any("no photos by their extension" in note for note in listing.notes)
    assert any("hidden" in note for note in listing.notes)
    assert any("folders that systems make are left out: @eaDir 2" in note for note in listing.notes)
    assert any("folders that jobs wrote here are left out: " in note for note in listing.notes)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_come_out_upright(orientation, kind, tmp_path):
    (tmp_path / "a").write_bytes(odd_photos.turned(orientation, kind))
    upright = np.asarray(odd_photos.picture())
    np.testing.assert_array_equal(read_photo(str(tmp_path / "a"), Bounds()).pixels[0], upright)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_xmp_turns_no_photo(orientation, kind):
    upright = decode(odd_photos.with_xmp(kind, 1), 10**6)
    np.testing.assert_array_equal(decode(odd_photos.with_xmp(kind, orientation), 10**6), upright)
    np.testing.assert_array_equal(decode(odd_photos.with_xmp(kind, orientation, exif=1), 10**6), upright)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_turns_a_photo_once_whatever_xmp_says(kind):
    exif = Image.Exif()
    exif[odd_photos.ORIENTATION] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    held = decode(odd_photos.encoded(odd_photos.picture(), kind, exif=exif, **options), 10**6)
    assert held.shape == (64, 48, 3)
    if kind != "AVIF":
        turned = np.rot90(decode(odd_photos.with_xmp(kind, 1), 10**6), -1)
        np.testing.assert_array_equal(decode(odd_photos.with_xmp(kind, 8, exif=6), 10**6), turned)
