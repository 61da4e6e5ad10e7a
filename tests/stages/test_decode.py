"""Photos to pixels at the size to score; bad ones to error rows."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from halfiqa_ray.stages import decode
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.zeroing import WORK


@pytest.fixture
def photos(tmp_path):
    """A landscape, a portrait and a broken photo."""
    rng = np.random.default_rng(0)
    for name, size in (("wide.png", (64, 48)), ("high.png", (48, 64))):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(tmp_path / name)
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(data, "JPEG")
    (tmp_path / "broken.jpg").write_bytes(data.getvalue()[:300])
    names = ["wide.png", "broken.jpg", "high.png", "gone.jpg"]
    return pa.table({"image_id": names, "uri": [str(tmp_path / name) for name in names]})


def test_bad_photos_become_error_rows_that_name_the_file(photos):
    rows = Decode(32, 40)(photos).to_pylist()
    assert [row["error"] is None for row in rows] == [True, False, True, False]
    assert rows[1]["pixels"] is None
    assert "broken.jpg" in rows[1]["message"]
    assert "gone.jpg" in rows[3]["message"]


def test_resized_whatever_the_shape(photos):
    rows = Decode(32, 40)(photos)
    shapes = {i: pixels.shape for i, pixels in pixels_of(rows)}
    assert shapes == {0: (32, 40, 3), 2: (32, 40, 3)}
    assert rows["original_height"].to_pylist() == [48, None, 64, None]


def test_native_keeps_every_pixel(photos):
    rows = Decode(32, 40, native=True)(photos)
    pixels = dict(pixels_of(rows))
    assert np.array_equal(pixels[2], np.array(Image.open(photos["uri"][2].as_py())))


def test_portrait_photos_are_turned_when_asked(photos):
    turned = dict(pixels_of(Decode(32, 40, native=True, portrait="rotate")(photos)))
    plain = dict(pixels_of(Decode(32, 40, native=True)(photos)))
    assert np.array_equal(turned[0], plain[0])
    assert np.array_equal(turned[2], np.rot90(plain[2]))
    assert turned[2].shape == (48, 64, 3)


def test_one_decode_gives_every_size(photos, monkeypatch):
    """Each photo is opened once; every size is that of a decode of its own; rows without zero work get no more."""
    opened = []
    original = decode.read_photo
    monkeypatch.setattr(decode, "read_photo", lambda uri, *more: opened.append(uri) or original(uri, *more))
    work = pa.array([[{"model": 0, "ranking": None}], [{"model": 0, "ranking": None}], [], []], WORK)
    rows = Decode(32, 40, portrait="rotate", more=((32, 40), (20, 30), (48, 48)))(photos.append_column("zero", work))
    assert sorted(opened) == sorted(photos["uri"].to_pylist())
    assert [name for name in rows.column_names if name.startswith("pixels")] == [
        "pixels",
        "pixels_20x30",
        "pixels_48x48",
    ]
    for size in ((20, 30), (48, 48)):
        alone = dict(pixels_of(Decode(*size, portrait="rotate")(photos)))
        assert [i for i, _ in pixels_of(rows, size)] == [0]
        assert np.array_equal(dict(pixels_of(rows, size))[0], alone[0])
    assert [i for i, _ in pixels_of(rows, (32, 40))] == [0, 2]


def test_native_photos_have_the_other_sizes_beside_them(photos):
    work = pa.array([[{"model": 0, "ranking": None}]] * 4, WORK)
    rows = Decode(32, 40, native=True, more=((32, 40),))(photos.append_column("zero", work))
    assert {pixels.shape for _, pixels in pixels_of(rows)} == {(48, 64, 3), (64, 48, 3)}
    assert {pixels.shape for _, pixels in pixels_of(rows, (32, 40))} == {(32, 40, 3)}
