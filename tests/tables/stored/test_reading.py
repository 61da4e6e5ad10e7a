import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.stored import reading
from halfiqa_ray.tables.stored.reading import find_run, read_images, read_run, stream_scores, vectors
from tests.tables import planted

SMALL = Grid(2, 2)


def small_run(output, count=50, key="0123abcd", files=3, **metadata):
    table, _ = planted.rows(count, SMALL, photos=7)
    planted.write(output, table, files, key, SMALL, **metadata)
    return table


def test_the_newest_run_is_taken_unless_another_is_named(tmp_path):
    for key, created in (("aaaaaaaa", "2026-03-01T00:00:00+00:00"), ("bbbbbbbb", "2026-05-01T00:00:00+00:00")):
        small_run(tmp_path, 10, key, created=created)
    small_run(tmp_path, 10, "cccccccc", created="2026-04-01T00:00:00+00:00")
    assert find_run(str(tmp_path), "planted").key == "bbbbbbbb"
    named = find_run(str(tmp_path), "planted", "aaaaaaaa" + "0" * 56)  # the full key of the metadata
    assert named.key == "aaaaaaaa"
    assert len(named.files) == 3
    assert named.grid == SMALL
    assert named.synthetic


def test_a_run_that_goes_on_counts_by_its_latest_file(tmp_path):
    small_run(tmp_path, 10, "aaaaaaaa", 1, created="2026-03-01T00:00:00+00:00")
    small_run(tmp_path, 10, "bbbbbbbb", 1, created="2026-04-01T00:00:00+00:00")
    table, _ = planted.rows(5, SMALL, seed=1)
    late = planted.write(tmp_path, table, 1, "late", SMALL, created="2026-05-01T00:00:00+00:00")[0]
    storage.write_bytes(late.replace("run=late/part-0", "run=aaaaaaaa/part-9"), storage.read_bytes(late))
    storage.delete(late)
    assert find_run(str(tmp_path), "planted").key == "aaaaaaaa"


def test_what_is_not_there_is_said_with_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a run below .*dataset=planted.*jobs/rank.py"):
        find_run(str(tmp_path), "planted")
    small_run(tmp_path, 5)
    with pytest.raises(FileNotFoundError, match="run ffffffff"):
        find_run(str(tmp_path), "planted", "ffffffff")


def test_images_stand_in_order_of_id_whatever_the_files(tmp_path):
    table = small_run(tmp_path)
    images = read_images(find_run(str(tmp_path), "planted"))
    expected = table.sort_by("image_id")
    assert list(images.image_id) == expected["image_id"].to_pylist()
    np.testing.assert_array_equal(images.mos_N, expected["mos"].to_numpy())
    np.testing.assert_array_equal(images.halves["shapley"], expected["important_shapley"].to_numpy())
    assert images.of_photos
    assert len(set(images.groups())) == 7
    scopes = images.scopes()
    assert list(scopes) == ["all", "train", "test"]
    assert sorted([*scopes["train"], *scopes["test"]]) == scopes["all"].tolist()


def test_an_image_in_two_files_counts_once(tmp_path):
    table, _ = planted.rows(40, SMALL)
    planted.write(tmp_path, pa.concat_tables([table, table.slice(5, 20), table.slice(0, 3)]), 4, grid=SMALL)
    run = find_run(str(tmp_path), "planted")
    images = read_images(run)
    assert len(images) == 40
    scores = np.full((40, 16), np.nan, np.float32)
    for part in images.parts:
        for where, scores_NS in stream_scores(part, SMALL):
            assert np.isnan(scores[part.positions[where]]).all()  # none twice
            scores[part.positions[where]] = scores_NS
    expected = table.sort_by("image_id")
    np.testing.assert_array_equal(scores, vectors(expected["subset_scores"]))
    assert read_run(str(tmp_path), "planted").equals(expected.replace_schema_metadata(None), check_metadata=False)


def test_scores_stream_in_batches_of_any_size(tmp_path, monkeypatch):
    table = small_run(tmp_path, 50, files=1)
    part = read_images(find_run(str(tmp_path), "planted")).parts[0]
    monkeypatch.setattr(reading, "BATCH_BYTES", 16 * 4 * 7)
    sizes, rows = [], []
    for where, scores_NS in stream_scores(part, SMALL):
        sizes.append(len(scores_NS))
        rows.append(scores_NS)
        assert where.stop - where.start == len(scores_NS)
    assert max(sizes) <= 7
    np.testing.assert_array_equal(np.concatenate(rows), vectors(table["subset_scores"]))


def test_a_score_that_is_no_number_is_found_by_file_and_row(tmp_path):
    table, _ = planted.rows(10, SMALL)
    scores = vectors(table["subset_scores"]).copy()
    scores[6, 3] = np.inf
    place = table.schema.get_field_index("subset_scores")
    table = table.set_column(place, table.schema.field(place), planted.lists(scores))
    path = planted.write(tmp_path, table, 1, grid=SMALL)[0]
    part = read_images(find_run(str(tmp_path), "planted")).parts[0]
    with pytest.raises(ValueError, match="row 6: a subset score is not a finite number") as found:
        list(stream_scores(part, SMALL))
    assert path in str(found.value)
    with pytest.raises(ValueError, match="holds 16 scores an image, but 3 x 4 blocks have 4096"):
        list(stream_scores(part, Grid(3, 4)))


def test_null_lists_and_elements_become_nan_in_their_own_rows():
    column = pa.array([[1, 2], None, [3, None], [4, 5]], pa.list_(pa.float32(), 2))
    expected = [[1, 2], [np.nan, np.nan], [3, np.nan], [4, 5]]
    np.testing.assert_array_equal(vectors(column), expected)
    np.testing.assert_array_equal(vectors(column.slice(1, 2)), expected[1:3])
    np.testing.assert_array_equal(vectors(pa.chunked_array([column.slice(2), column])), expected[2:] + expected)


def test_runs_in_an_object_store(bucket):
    table, _ = planted.rows(20, SMALL)
    path = f"{bucket}/results/rank/dataset=planted/run=0123abcd/part-0.parquet"
    grid = {"rows": 2, "columns": 2}
    metadata = reading.schema.with_metadata(table.schema, planted.METADATA | {"grid": grid}).metadata
    storage.write_table(path, table.replace_schema_metadata(metadata))
    run = find_run(f"{bucket}/results", "planted")
    images = read_images(run)
    assert len(images) == 20
    assert sum(len(scores) for _, scores in stream_scores(images.parts[0], SMALL)) == 20
