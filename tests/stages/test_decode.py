"""Photos to pixels at the size to score; bad ones to error rows."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from halfiqa_ray.stages.decode import Decode, pixels_of


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
