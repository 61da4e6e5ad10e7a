import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from halfiqa_ray import storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.dimming import DIMMED, with_blocks
from halfiqa_ray.report.photos import Photo, open_upright, read_maps, show_photo, small_photo
from halfiqa_ray.tables.stored.reading import Run
from tests.report import planted_report


def run_of(**metadata):
    return Run("planted", planted_report.KEY, (), {"grid": {"rows": 2, "columns": 3}} | metadata)


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_only_the_blocks_outside_are_dimmed(rows, columns, data):
    grid = Grid(rows, columns)
    height, width = data.draw(st.integers(rows, 20)), data.draw(st.integers(columns, 20))
    kept = data.draw(st.integers(0, grid.full))
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    before, shown = pixels.copy(), with_blocks(pixels, grid, kept)
    inside = (kept >> grid.cells(height, width) & 1).astype(bool)  # the blocks as tokens and zeroing have them
    np.testing.assert_array_equal(shown[inside], before[inside])
    np.testing.assert_array_equal(shown[~inside], (before[~inside] * DIMMED).astype(np.uint8))
    np.testing.assert_array_equal(pixels, before)


def test_a_photo_is_turned_like_the_run_turned_it(tmp_path):
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:20, :10] = 255  # top left
    Image.fromarray(pixels).save(tmp_path / "portrait.png")
    uri = str(tmp_path / "portrait.png")
    np.testing.assert_array_equal(open_upright(uri, run_of(portrait="resize"), 10**6), pixels)
    turned = open_upright(uri, run_of(portrait="rotate"), 10**6)
    np.testing.assert_array_equal(turned, np.rot90(pixels))
    small = small_photo("a", {"a": uri}, run_of(portrait="rotate"), 10**6, longest=10)
    assert small.pixels.shape == (5, 10, 3)


@pytest.mark.parametrize("problem", ["there is no such file", "the manifest does not have"])
def test_a_photo_that_cannot_be_shown_says_why_in_its_place(tmp_path, problem):
    uris = {"a": str(tmp_path / "a.jpg")} if "file" in problem else {}
    photo = small_photo("a", uris, run_of(), 10**6)
    assert problem in photo.problem
    axis = Figure().subplots()
    show_photo(axis, photo)
    assert problem in axis.texts[0].get_text()
    assert not axis.images


def test_a_photo_smaller_than_the_grid_says_so():
    axis = Figure().subplots()
    show_photo(axis, Photo("a", np.zeros((1, 9, 3), np.uint8)), 1, Grid(2, 3))
    assert axis.texts[0].get_text() == "too small for the grid"


def test_maps_come_back_to_a_step(tmp_path):
    rows = planted_report.store_maps(tmp_path, ["a", "b"])
    maps = read_maps(str(tmp_path), run_of())
    assert len(maps) == len(rows) == 14
    for row in rows:
        found = maps[row["image_id"], row["name"], row["model"]]
        values = row["minimum"] + np.reshape(row["pixels"], (8, 12)) / 255 * (row["maximum"] - row["minimum"])
        np.testing.assert_allclose(found.values, values, atol=1e-6)
        assert not found.synthetic


def test_of_two_maps_the_newer_counts_and_those_of_another_run_do_not(tmp_path):
    planted_report.store_maps(tmp_path, ["a"], run="bbbbbbbb", low=-1)
    planted_report.store_maps(
        tmp_path, ["a"], run="aaaaaaaa", low=-3, created="2026-03-01T00:00:00+00:00", synthetic=True
    )
    planted_report.store_maps(
        tmp_path, ["a", "z"], run="cccccccc", low=-9, created="2026-04-01T00:00:00+00:00", rank_key="ffff"
    )
    maps = read_maps(str(tmp_path), run_of())
    assert {image_id for image_id, _, _ in maps} == {"a"}
    assert maps["a", "lime", "triq"].minimum == -3
    assert maps["a", "lime", "triq"].synthetic


def test_a_map_that_does_not_hold_its_pixels_names_the_file(tmp_path):
    planted_report.store_maps(tmp_path, ["a"])
    (file,) = storage.list_files(str(tmp_path / "maps"), ".parquet", recursive=True)
    table = storage.read_table(file)
    heights = table.schema.get_field_index("height")

    storage.write_table(
        file, table.set_column(heights, table.schema.field(heights), pa.array([9] * table.num_rows, pa.int32()))
    )
    with pytest.raises(ValueError, match=r"part-0.parquet: the map saliency of 'a' has 96 pixels, not 9 x 12"):
        read_maps(str(tmp_path), run_of())
