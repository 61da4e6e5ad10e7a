"""All that networks say of photos, in one call: as each part alone, and any part left out."""

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.config import MeasureSettings
from halfiqa_ray.masking.controls import centre_half, random_halves
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.stages.measures import MeasurePhotos, SmallMeasures
from halfiqa_ray.stages.outputs import measures_output, rank_output, zeroed_output
from halfiqa_ray.stages.parts import WriteParts
from halfiqa_ray.stages.score import KNOWN_HALVES, ScorePhotos, stored_columns
from halfiqa_ray.stages.subsets import ScoreSubsets
from halfiqa_ray.stages.zeroing import WORK, ScoreZeroed
from tests.stages.test_measures import MEANS
from tests.stages.test_subsets import write_photos
from tests.stages.test_zeroing import DECODE, GRID, checkpoints  # noqa: F401  (a fixture)

RANKINGS = [None, "level_plcc", "shapley", "saliency", "control_random", "control_centre"]


MEASURE = MeasurePhotos(MeasureSettings(), MEANS, GRID, 1)


def todo(rows, rank, measured, zero, known=(), measure=MEASURE):
    """Manifest rows with their work; ``rank`` ... are one value for each row."""
    work = [[{"model": m, "ranking": r, "fill": "zero"} for m in (0, 1) for r in asked] for asked in zero]
    rows = rows.append_column("rank", pa.array(rank)).append_column("measure", pa.array(measured))
    rows = rows.append_column("zero", pa.array(work, WORK))
    halves = [[{"ranking": r, "half": h} for r, h in known] or None] * rows.num_rows
    return measure(DECODE(rows.append_column("halves", pa.array(halves, KNOWN_HALVES))))


def test_together_is_what_the_parts_give_alone(checkpoints, tmp_path):  # noqa: F811
    photos = write_photos(tmp_path, 4)
    (tmp_path / "2.png").write_bytes(b"not a photo")
    done = []
    rows = todo(photos, [True] * 4, [True] * 4, [RANKINGS] * 4)
    together = ScorePhotos(checkpoints[0], checkpoints, GRID, seed=5, threads=1, done=done.append)(rows)
    assert sum(done) == 3
    assert not [name for name in together.column_names if name.startswith("pixels")]
    ranked = ScoreSubsets(checkpoints[0], GRID, threads=1)(DECODE(photos.append_column("zero", rows["zero"])))
    assert together.select(ranked.column_names).equals(ranked.cast(together.select(ranked.column_names).schema))
    halves = [
        {"control_random": random_half, "control_centre": centre_half(Grid(2, 3))}
        for random_half in random_halves(Grid(2, 3), photos["image_id"].to_pylist(), 5).tolist()
    ]
    for i in (0, 1, 3):
        halves[i] |= {rule: ranked[f"important_{rule}"][i].as_py() for rule in schema.IMAGE_RULES}
        halves[i]["saliency"] = rows["measures"][i].as_py()[0]["high_blocks"]
    alone = ScoreZeroed(checkpoints, GRID, threads=1)(rows, halves)
    assert together["zeroed"].to_pylist() == [[pytest.approx(row) for row in found.rows] for found in alone]
    assert [len(found.rows) for found in alone] == [22, 22, 0, 22]


def test_measures_finished_on_the_device_give_their_halves_too(checkpoints, tmp_path):  # noqa: F811
    photos, work = write_photos(tmp_path, 3), ([True] * 3, [True, True, False], [["saliency"], [], []])
    scorer = ScorePhotos(checkpoints[0], checkpoints[:1], GRID, batch_size=2, threads=1, measure=MEASURE)
    on_device = scorer(todo(photos, *work, measure=SmallMeasures(MEASURE)))
    before = ScorePhotos(checkpoints[0], checkpoints[:1], GRID, batch_size=2, threads=1)(todo(photos, *work))
    assert sorted(on_device.column_names) == sorted(before.column_names)
    assert on_device["measures"].is_valid().to_pylist() == [True, True, False]
    assert on_device["zeroed"].to_pylist() == [
        [pytest.approx(row) for row in rows] for rows in before["zeroed"].to_pylist()
    ]


def test_every_part_only_where_it_is_asked_for(checkpoints, tmp_path):  # noqa: F811
    photos = write_photos(tmp_path, 4)
    rows = todo(photos, [False, True, False, True], [True, False] * 2, [[], ["a"], [None], []], [("a", 7)])
    for batch_size in (1, 3):
        table = ScorePhotos(checkpoints[0], checkpoints, GRID, batch_size=batch_size, threads=1)(rows)
        assert table["error"].null_count == 4
        assert table["score"].is_valid().to_pylist() == [False, True, False, True]
        assert table["important_level_plcc"].is_valid().to_pylist() == [False, True, False, True]
        assert table["measures"].is_valid().to_pylist() == [True, False] * 2
        assert [len(found) for found in table["zeroed"].to_pylist()] == [0, 4, 2, 0]
        if batch_size == 1:
            expected = ScoreSubsets(checkpoints[0], GRID, threads=1)(DECODE(photos.append_column("zero", rows["zero"])))
            for name in ("subset_scores", "level_plcc", "banzhaf"):
                assert table[name][3] == expected[name][3]


def test_without_ranking_there_are_no_rank_columns(checkpoints, tmp_path):  # noqa: F811
    rows = todo(write_photos(tmp_path, 2), [False] * 2, [True] * 2, [["a"]] * 2, [("a", 7)])
    table = ScorePhotos(None, checkpoints[1:], GRID, threads=1)(rows)
    assert "subset_scores" not in table.column_names
    assert [len(found) for found in table["zeroed"].to_pylist()] == [2, 2]  # model 1 is not here


def test_rows_go_to_their_tables(checkpoints, tmp_path):  # noqa: F811
    """One row an image in the stream; in the files one a measure, and one a half and model."""
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "1.png").write_bytes(b"not a photo")
    rows = todo(photos, [True] * 3, [True] * 3, [RANKINGS] * 3)
    scored = ScorePhotos(checkpoints[0], checkpoints, GRID, threads=1)(rows)
    outputs = (
        rank_output(str(tmp_path / "rank"), 6, {"a": 1}),
        measures_output(str(tmp_path / "measures"), 6, {"a": 2}),
        zeroed_output(str(tmp_path / "zeroed" / "triq"), 0, {"a": 3}),
        zeroed_output(str(tmp_path / "zeroed" / "koncept"), 1, {"a": 4}),
    )
    told = WriteParts(outputs, str(tmp_path / "errors"), schema.ERRORS)(scored)
    assert told.to_pylist() == [{"written": 2, "failed": 1}]
    tables = [storage.read_table(storage.list_files(output.folder, ".parquet")[0]) for output in outputs]
    assert [table.num_rows for table in tables] == [2, 2 * 6, 2 * 11, 2 * 11]
    for number, (table, columns) in enumerate(
        zip(tables, (schema.rank(6), schema.measures(6), schema.ZEROED, schema.ZEROED), strict=True)
    ):
        assert table.schema.equals(columns)
        version = {"schema_version": 2} if columns == schema.ZEROED else {}
        assert schema.metadata(table.schema) == {"a": number + 1} | version
        assert set(table["image_id"].to_pylist()) == {"0.png", "2.png"}
    assert tables[3].filter(pa.array([i == "0.png" for i in tables[3]["image_id"].to_pylist()]))[
        "score"
    ].to_pylist() == [row["score"] for row in scored["zeroed"][0].as_py() if row["model"] == 1]
    assert set(tables[2]["mos"].to_pylist()) == {2.5}


def test_a_photo_that_is_not_measured_is_still_ranked(checkpoints, tmp_path):  # noqa: F811
    rows = todo(write_photos(tmp_path, 2), [True] * 2, [True] * 2, [[None, "saliency"]] * 2)
    for name, value in (("measures", None), ("measure_error", "cannot be measured"), ("measure_message", "too small")):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, rows.schema.field(name), pa.array([value, rows[name][1].as_py()], rows[name].type))
    table = ScorePhotos(checkpoints[0], checkpoints, GRID, threads=1)(rows)
    assert table["error"].to_pylist() == ["cannot be measured", None]
    assert table["message"][0].as_py() == "too small"
    assert table["score"].null_count == 0
    assert [len(found) for found in table["zeroed"].to_pylist()] == [2, 6]


def test_rows_that_need_no_network(tmp_path):
    rows = todo(write_photos(tmp_path, 2), [False] * 2, [True] * 2, [[]] * 2)
    table = stored_columns(rows)
    assert table["zeroed"].null_count == 2
    assert table["measures"].null_count == 0
    assert "pixels" not in table.column_names
