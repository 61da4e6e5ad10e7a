"""A TIFF whose first page is a thumbnail, and a raw file, are never scored as their thumbnail."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from halfiqa_ray.data.photos import tiff as directories
from halfiqa_ray.data.photos.decoding import ImageError, decode
from tests.data.photos.tiff_files import FULL, SMALL, tiff

ROOM = 10**6


def refused(data):
    with pytest.raises(ImageError) as caught:
        decode(data, ROOM)
    assert caught.value.kind == "unsupported_photo"
    return str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("more", [{"subfile": 1}, {"subfile": 3}, {"old_subfile": 2}])
def test_a_first_page_that_says_it_is_a_thumbnail(order, nested, more):
    assert "thumbnail (16 x 12)" in refused(tiff(nested=nested, order=order, **more))


@pytest.mark.parametrize("nested", [True, False])
def test_a_first_page_that_does_not_say_so(nested):
    assert "16 x 12 pixels, another one 640 x 480" in refused(tiff(nested=nested))


@pytest.mark.parametrize(
    "more", [{"dng": 0x0401}, {"subfile": 1, "dng": 0x0401}, {"photometric": 32803}, {"compression": 34713}]
)
def test_raw_files_are_named(more):
    assert "a camera's raw file" in refused(tiff(**more))
    assert "export it as JPEG" in refused(tiff(FULL, SMALL, **more))


def test_a_mask_of_transparency_is_no_photo():
    assert "mask" in refused(tiff(FULL, SMALL, nested=False, subfile=4))


@pytest.mark.parametrize("nested", [True, False])
def test_a_photo_before_its_thumbnail_is_read(nested):
    np.testing.assert_array_equal(decode(tiff(FULL, SMALL, nested), ROOM)[..., 0], FULL)


def test_pages_of_like_size_are_read_the_first_first():
    np.testing.assert_array_equal(decode(tiff(FULL[:400], FULL, nested=False), ROOM)[..., 0], FULL[:400])


@pytest.mark.parametrize("options", [{"big_tiff": True}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}])
def test_ordinary_files_of_pillow_are_read(options):
    pages = [Image.fromarray(FULL), Image.fromarray(FULL[:240, :320])]  # as a pyramid has them
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:], **options)
    assert directories.refusal(stream.getvalue()) is None
    assert decode(stream.getvalue(), ROOM).shape == (480, 640, 3)
    stream = io.BytesIO()
    pages[1].resize((32, 24)).save(stream, "TIFF", save_all=True, append_images=pages[:1], **options)
    assert "another one 640 x 480" in refused(stream.getvalue())


def test_a_circle_of_directories_ends():
    data = bytearray(tiff(nested=False))
    place = data.index((300).to_bytes(4, "little"))
    data[place : place + 4] = (8).to_bytes(4, "little")
    assert directories.refusal(bytes(data)) is None


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b""]))
def test_no_bytes_break_the_reading_of_directories(data, head):
    assert directories.refusal(head + data) is None or head
