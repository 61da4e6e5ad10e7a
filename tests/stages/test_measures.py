"""Photos to their measures, and to band means, without Ray."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from halfiqa_ray.config import FrequencySettings, GridSettings, MeasureSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means
from halfiqa_ray.measures.frequency import band_means
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.pixels import luma
from halfiqa_ray.stages.decode import Decode
from halfiqa_ray.stages.measures import MEASURES, BandMeans, FinishMeasures, MeasurePhotos, SmallMeasures
from tests.stages.test_subsets import write_photos

MEANS = tuple(np.linspace(9, 1, 10).tolist())
GRID = GridSettings(rows=2, columns=3)


def test_block_means_of_every_measure_at_the_size_to_score(tmp_path):
    rows = write_photos(tmp_path, 3, size=(120, 90))
    (tmp_path / "1.png").write_bytes(b"not a photo")
    rows = Decode(64, 96)(rows.append_column("measure", pa.array([True, True, False])))
    table = MeasurePhotos(MeasureSettings(), MEANS, GRID, 1)(rows)
    assert table["measures"].type == MEASURES
    assert table["measures"].is_valid().to_pylist() == [True, False, False]  # the last was not asked for
    assert table["measure_error"].null_count == 3
    measures = Measures(MeasureSettings(), MEANS)
    pixels = np.array(Image.open(tmp_path / "0.png").resize((96, 64), Image.Resampling.BILINEAR))
    found = table["measures"][0].as_py()
    assert [each["measure"] for each in found] == list(measures.names)
    for each, map_HW in zip(found, measures.measure(pixels).values(), strict=True):
        assert each["block_means"] == block_means(map_HW, Grid(2, 3)).tolist()
        high = [b for b in range(6) if each["high_blocks"] >> b & 1]
        assert len(high) == 3
        low = [b for b in range(6) if b not in high]
        assert min(np.array(each["block_means"])[high]) >= max(np.array(each["block_means"])[low])


def test_in_two_steps_is_as_in_one(tmp_path):
    rows = write_photos(tmp_path, 4, size=(120, 90))
    (tmp_path / "1.png").write_bytes(b"not a photo")
    rows = Decode(64, 96)(rows.append_column("measure", pa.array([True, True, False, True])))
    whole = MeasurePhotos(MeasureSettings(), MEANS, GRID, 1)
    once = whole(rows)
    twice = FinishMeasures(whole, "cpu")(SmallMeasures(whole)(rows))
    assert sorted(twice.column_names) == sorted(once.column_names)
    twice = twice.select(once.column_names)
    assert twice.schema == once.schema
    assert twice.drop_columns("measures").equals(once.drop_columns("measures"))
    for expected, found in zip(once["measures"].to_pylist(), twice["measures"].to_pylist(), strict=True):
        assert (expected is None) == (found is None)
        for one, other in zip(expected or (), found or (), strict=True):
            assert one.keys() == other.keys()
            assert other["measure"] == one["measure"]
            assert other["block_means"] == pytest.approx(one["block_means"], rel=1e-4, abs=1e-5)
            assert other["high_blocks"] == one["high_blocks"]


def test_a_flat_photo_is_all_ties(tmp_path):
    Image.new("RGB", (96, 64), "grey").save(tmp_path / "flat.png")
    rows = pa.table({"image_id": ["flat.png"], "uri": [str(tmp_path / "flat.png")], "measure": [True]})
    settings = MeasureSettings(frequency=FrequencySettings(combination="flat"))
    found = MeasurePhotos(settings, MEANS, GRID, 1)(Decode(64, 96)(rows))["measures"][0].as_py()
    assert {each["tied"] for each in found if each["measure"].startswith("frequency")} == {True}
    assert all(each["high_blocks"].bit_count() == 3 for each in found)


def test_a_photo_with_fewer_pixels_than_blocks_is_not_measured(tmp_path):
    Image.new("RGB", (2, 64)).save(tmp_path / "thin.png")
    rows = pa.table({"image_id": ["thin.png"], "uri": [str(tmp_path / "thin.png")], "measure": [True]})
    whole, decoded = MeasurePhotos(MeasureSettings(), MEANS, GRID, 1), Decode(64, 96, native=True)(rows)
    for table in (whole(decoded), FinishMeasures(whole, "cpu")(SmallMeasures(whole)(decoded))):
        assert table["measure_error"].to_pylist() == ["cannot be measured"]
        assert "thin.png" in table["measure_message"][0].as_py()
        assert table["error"].to_pylist() == [None]  # whether it can be ranked is for the ranking to say
        assert table["measures"].null_count == 1


def test_band_means_of_each_photo(tmp_path):
    rows = write_photos(tmp_path, 3)
    (tmp_path / "2.png").write_bytes(b"not a photo")
    table = BandMeans(Decode(64, 96))(rows)
    assert table["band_means"].null_count == 1
    assert table["error"].is_valid().to_pylist() == [False, False, True]
    for i in range(2):
        expected = band_means(luma(np.array(Image.open(tmp_path / f"{i}.png"))))
        assert table["band_means"][i].as_py() == pytest.approx(expected.tolist())
