"""What a file is whose name says that it is a photo."""

import io

import numpy as np
import pytest
from PIL import Image

from halfiqa_ray.data import content
from halfiqa_ray.data.photos import decoding
from halfiqa_ray.data.photos.decoding import ImageError, decode
from tests.data import odd_photos
from tests.data.odd_photos import heif, iso_box


def failure(data):
    with pytest.raises(ImageError) as caught:
        decode(data, 10**6)
    return caught.value


@pytest.mark.parametrize(
    "brands",
    [
        (b"heic", b"mif1", b"heic"),
        (b"mif1", b"mif1", b"heic"),
        (b"heix",),
        (b"msf1", b"hevc", b"msf1"),
        (b"hevc",),
        (b"mif1",),
        (b"mif1", b"miaf"),
        (b"heic", b"mif1", b"miaf", b"MiHB"),
        (b"mif1", b"avif", b"heic"),  # both: no AV1 in it
    ],
)
def test_heic_by_any_brand_is_one_error(brands, monkeypatch):
    monkeypatch.setattr(decoding, "HEIF_IS_READ", False)
    failed = failure(heif(*brands))
    assert failed.kind == "not_a_photo"
    assert "HEIC/HEIF" in str(failed)
    assert "export it as JPEG" in str(failed)


@pytest.mark.parametrize("brands", [(b"avif", b"mif1", b"miaf"), (b"mif1", b"miaf", b"avif"), (b"avis", b"avif")])
def test_avif_by_any_brand_is_none(brands):
    assert content.what(heif(*brands)) is None


def test_a_whole_heic_is_read_where_the_extra_is_installed(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    y, x = np.mgrid[:64, :96]
    pixels = np.dstack([x * 2, y * 3, 128 + 0 * x]).astype(np.uint8)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "HEIF", quality=95, exif=exif.tobytes())  # becomes the container's
        jpeg = io.BytesIO()
        Image.fromarray(pixels).save(jpeg, "JPEG", quality=95, exif=exif)
        found, expected = decode(stream.getvalue(), 10**6), decode(jpeg.getvalue(), 10**6)
        np.testing.assert_allclose(found, expected, atol=12)
    cut = failure(stream.getvalue()[: len(stream.getvalue()) // 2])
    assert cut.kind == "broken_photo"
    assert "HEIC/HEIF" in str(cut)
    assert failure(heif(b"heic")).kind == "broken_photo"


@pytest.mark.parametrize(("name", "data"), odd_photos.others().items())
def test_other_kinds_are_named_with_what_to_do(name, data):
    failed = failure(data)
    kind, words = odd_photos.WORDS[name]
    assert failed.kind == kind
    assert words in str(failed)
    assert any(advice in str(failed) for advice in ("export", "run `"))


def test_ordinary_photos_are_none_of_these():
    for files in odd_photos.pictures().values():
        for name, data in files.items():
            if name.startswith(("whole", "rgba", "grey", "cmyk", "a.", "1.")):
                assert content.what(data) is None or name == "a.svg", name


def test_damaged_boxes_do_no_harm():
    for data in (
        b"\0\0\0\0ftyp",
        b"\xff\xff\xff\xffftypheic",
        b"\0\0\0\x0cftypmif1",
        iso_box(b"ftyp", b""),
    ):
        content.what(data)
