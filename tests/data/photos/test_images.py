import io
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from halfiqa_ray.data.photos.decoding import Wanted, decode_at
from halfiqa_ray.data.photos.images import KINDS, ImageError, decode, open_photo, resize
from tests.data.photo_files import jpeg

ROOM = 10**6


def encode(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(height=6, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def failure(data, maximum=ROOM):
    with pytest.raises(ImageError) as caught:
        decode(data, maximum)
    assert caught.value.kind in KINDS
    return caught.value


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("BMP", {}), ("PPM", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_give_the_very_pixels(kind, options):
    pixels = picture()
    found = decode(encode(Image.fromarray(pixels), kind, **options), ROOM)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, pixels)


def test_a_single_pixel():
    np.testing.assert_array_equal(decode(encode(Image.new("RGB", (1, 1), (1, 2, 3))), ROOM), [[[1, 2, 3]]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
def test_exif_orientation_is_applied_once(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(picture()), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape[:2] == ((8, 6) if orientation >= 5 else (6, 8))
    np.testing.assert_array_equal(decode(data, ROOM), expected)


def test_broken_exif_leaves_the_photo_as_stored():
    plain = jpeg()
    broken = plain[:2] + b"\xff\xe1" + struct.pack(">H", 2 + 6 + 4) + b"Exif\0\0II*\x07" + plain[2:]
    np.testing.assert_array_equal(decode(broken, ROOM), decode(plain, ROOM))


def test_sixteen_bit_grey_keeps_its_high_byte():
    grey = np.array([[0, 255, 256, 0x7FFF], [0x8000, 0xFEFF, 0xFF00, 0xFFFF]], np.uint16)
    for data in (encode(Image.fromarray(grey)), encode(Image.fromarray(grey), "TIFF")):
        np.testing.assert_array_equal(decode(data, ROOM), np.repeat((grey >> 8)[..., None], 3, 2))


def test_sixteen_bit_grey_and_colour_agree():
    values = np.array([[0, 300, 0x8123, 0xFFFF]], ">u2")
    png = b"\x89PNG\r\n\x1a\n"
    rows = b"\0" + np.repeat(values[..., None], 3, 2).tobytes()
    for name, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 4, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        png += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    grey = decode(encode(Image.fromarray(values.astype(np.uint16))), ROOM)
    np.testing.assert_array_equal(decode(png, ROOM), grey)


def test_transparency_is_laid_over_white():
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    expected = [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]
    np.testing.assert_array_equal(decode(encode(Image.fromarray(rgba)), ROOM), expected)
    np.testing.assert_array_equal(
        decode(encode(Image.fromarray(np.array([[[7, 0], [7, 255]]], np.uint8), "LA")), ROOM),
        [[[255] * 3, [7] * 3]],
    )


def test_palette_with_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 100])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encode(image, transparency=0), ROOM), [[[255, 255, 255], [0, 0, 100]]])
    np.testing.assert_array_equal(decode(encode(image), ROOM), [[[200, 0, 0], [0, 0, 100]]])


def test_cmyk_jpeg_is_not_inverted():
    # 20% cyan on white paper, as a print program stores it (Adobe's inverted CMYK, which Pillow writes).
    found = decode(encode(Image.new("CMYK", (8, 8), (51, 0, 0, 0)), "JPEG", quality=100), ROOM)
    np.testing.assert_allclose(found, np.broadcast_to([204, 255, 255], (8, 8, 3)), atol=2)


def test_lab_goes_to_srgb():
    colours = Image.fromarray(picture(4, 4, 3) // 2 + 64)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(colours, *profiles, outputMode="LAB")
    np.testing.assert_allclose(decode(encode(lab, "TIFF"), ROOM), np.asarray(colours), atol=4)


def test_bilevel_and_grey():
    bits = np.array([[True, False]])
    np.testing.assert_array_equal(decode(encode(Image.fromarray(bits)), ROOM)[..., 0], [[255, 0]])
    grey = picture()[..., 0]
    np.testing.assert_array_equal(decode(encode(Image.fromarray(grey)), ROOM), np.repeat(grey[..., None], 3, 2))


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data, ROOM), np.broadcast_to([255, 0, 0], (4, 4, 3)))


def test_the_content_decides_not_the_name(tmp_path):
    pixels = picture()
    (tmp_path / "photo.jpg").write_bytes(encode(Image.fromarray(pixels)))
    np.testing.assert_array_equal(open_photo(str(tmp_path / "photo.jpg"), ROOM), pixels)


def test_32_bit_numbers_are_refused():
    assert failure(encode(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")).kind == "unsupported_photo"
    assert failure(encode(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF")).kind == "unsupported_photo"


def test_empty_and_unknown():
    assert failure(b"").kind == "empty_photo"
    assert failure(b"not a picture at all").kind == "not_a_photo"
    assert failure(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").kind == "not_a_photo"  # would run Ghostscript


def test_messages_name_no_addresses_and_repeat():
    first, second = failure(b"\xff\xd8\xff nonsense"), failure(b"\xff\xd8\xff nonsense")
    assert str(first) == str(second)
    assert "0x" not in str(first)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"]), st.floats(0, 1, exclude_max=True))
def test_a_truncated_photo_is_an_error_or_whole(kind, share):
    data = encode(Image.fromarray(picture(40, 60)), kind)
    try:
        found = decode(data[: int(len(data) * share)], ROOM)
    except ImageError as error:
        assert error.kind in ("empty_photo", "not_a_photo", "broken_photo")  # noqa: PT017
    else:
        np.testing.assert_array_equal(found, decode(data, ROOM))


def test_the_bound_is_checked_before_decoding():
    # A PNG that claims 60,000 x 50,000 pixels and holds none: decoding it would need 9 GB.
    header = struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    claims = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    claims += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    assert failure(claims, 200_000_000).kind == "too_many_pixels"


def test_the_bound_is_exact():
    data = encode(Image.fromarray(picture(6, 8)))
    assert decode(data, 48).shape == (6, 8, 3)
    assert "6 = 48 pixels, more than the 47" in str(failure(data, 47))


def test_a_higher_bound_than_pillows_own_counts(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = encode(Image.fromarray(picture(6, 8)))
    assert decode(data, 100).shape == (6, 8, 3)


def test_open_photo_says_which_file(tmp_path):
    with pytest.raises(ImageError, match=r"nothing\.jpg") as caught:
        open_photo(str(tmp_path / "nothing.jpg"), ROOM)
    assert caught.value.kind == "missing_photo"
    (tmp_path / "zero.jpg").touch()
    with pytest.raises(ImageError, match=r"zero\.jpg") as caught:
        open_photo(str(tmp_path / "zero.jpg"), ROOM)
    assert caught.value.kind == "empty_photo"


def test_a_pipe_in_the_place_of_a_photo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe\.jpg: it is a pipe") as caught:
        open_photo(str(tmp_path / "pipe.jpg"), ROOM)
    assert caught.value.kind == "not_a_file"


def test_open_photo_reads_no_giant_file(tmp_path):
    with (tmp_path / "giant.jpg").open("wb") as stream:
        stream.truncate(10**12)  # sparse
    with pytest.raises(ImageError) as caught:
        open_photo(str(tmp_path / "giant.jpg"), ROOM)
    assert caught.value.kind == "too_many_pixels"


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("broken_photo", "why")))
    assert (error.kind, str(error)) == ("broken_photo", "why")


@pytest.mark.parametrize("size", [(5, 7), (20, 11), (64, 80), (3, 200)])
def test_resize_is_antialiased_bilinear(size):
    pixels = picture(48, 64)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, size, mode="bilinear", antialias=True, align_corners=False)
    found = resize(pixels, *size)
    assert found.shape == (*size, 3)
    np.testing.assert_allclose(found, expected[0].permute(1, 2, 0).numpy(), atol=1.5)


def test_resize_to_the_same_size_changes_nothing():
    pixels = picture()
    np.testing.assert_array_equal(resize(pixels, 6, 8), pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_size_is_that_of_the_decoded_pixels(mode, orientation):
    """What is resized before it leaves Pillow is what numpy's pixels resize to, turned or not."""
    values = picture(60, 45)
    image = Image.fromarray(values[..., 0].astype(np.uint16) * 257 if mode == "I;16" else values)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image if mode == "I;16" else image.convert(mode), exif=exif)
    pixels = decode(data, ROOM)
    for turned in (False, True):
        upright = np.rot90(pixels) if turned and len(pixels) > pixels.shape[1] else pixels
        photo = decode_at(data, Wanted(ROOM, [None, (20, 31), upright.shape[:2]], turned))
        assert (photo.height, photo.width) == pixels.shape[:2]
        for found, expected in zip(photo.pixels, (upright, resize(upright, 20, 31), upright), strict=True):
            assert np.array_equal(found, expected)
