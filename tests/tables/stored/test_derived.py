import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.stored.derived import read_measures, read_zeroed, why_not_zeroed
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.tables import planted, planted_derived

GRID = Grid(2, 3)


@pytest.fixture
def ranked(tmp_path):
    table, half = planted.rows(40, GRID)
    planted.write(tmp_path, table, grid=GRID)
    run = find_run(str(tmp_path), "planted")
    return tmp_path, table, half, run, read_images(run)


def test_measures_stand_in_the_order_of_the_images_and_what_is_not_measured_is_empty(ranked):
    output, table, half, run, images = ranked
    means = planted_derived.means_of(half, GRID)
    some = planted_derived.measures(table, {"saliency": means, "averaged_pixel": -means}, GRID)
    keep = np.arange(80) % 40 != 7
    planted_derived.write_measures(output, some.filter(pa.array(keep)), grid=GRID)
    found, missing = read_measures(str(output), run, images)
    assert missing == ""
    assert [measure.name for measure in found] == ["saliency", "averaged_pixel"]
    order = np.argsort(table["image_id"].to_pylist())
    absent = np.flatnonzero(order == 7)
    there = order != 7
    np.testing.assert_array_equal(found[0].means_NK[there], means[order][there])
    np.testing.assert_array_equal(found[0].high_N[there], half[order][there])
    np.testing.assert_array_equal(found[1].high_N[there], (GRID.full ^ half[order])[there])
    assert np.isnan(found[0].means_NK[absent]).all()
    assert found[0].high_N[absent] == 0


def test_the_newest_measures_over_the_same_blocks_are_taken(ranked):
    output, table, half, run, images = ranked
    times = {"aaaa0000": "2026-03-01", "bbbb0000": "2026-02-01", "cccc0000": "2026-04-01"}
    for number, (key, day) in enumerate(times.items()):
        means = {f"measure{number}": planted_derived.means_of(half, GRID)}
        # The newest was made of photos turned another way.
        more = {"portrait": "rotate"} if key == "cccc0000" else {}
        rows = planted_derived.measures(table, means, GRID)
        planted_derived.write_measures(output, rows, key, GRID, created=f"{day}T00:00:00+00:00", **more)
    assert [measure.name for measure in read_measures(str(output), run, images)[0]] == ["measure0"]


def test_measures_of_photos_at_another_size_belong_to_the_ranking_at_that_size(tmp_path):
    """Two checkpoints of two input sizes below one output: each has its own measures, whichever came last."""
    table, half = planted.rows(40, GRID)
    sizes = {"aaaa0000": [96, 128], "bbbb0000": [192, 256], "cccc0000": None}
    for number, (key, size) in enumerate(sizes.items()):
        planted.write(tmp_path, table, key=key, grid=GRID, size=size)
        rows = planted_derived.measures(table, {f"measure{number}": planted_derived.means_of(half, GRID)}, GRID)
        about = {"size": size, "measures": [f"measure{number}"], "created": f"2026-0{number + 1}-01T00:00:00+00:00"}
        planted_derived.write_measures(tmp_path, rows, key, GRID, **about)
    for number, key in enumerate(sizes):
        run = find_run(str(tmp_path), "planted", key)
        found, _ = read_measures(str(tmp_path), run, read_images(run))
        assert [measure.name for measure in found] == [f"measure{number}"]


def test_measures_of_another_grid_are_no_measures_and_halves_that_are_none_are_refused(ranked):
    output, table, half, run, images = ranked
    rows = planted_derived.measures(table, {"saliency": planted_derived.means_of(half, GRID)}, GRID)
    planted_derived.write_measures(output, rows, grid=Grid(3, 2))
    found, missing = read_measures(str(output), run, images)
    assert found == []
    assert "none for 0123abcd: run jobs/measure.py" in missing
    place = rows.schema.get_field_index("high_blocks")
    rows = rows.set_column(place, rows.schema.field(place), pa.array(np.full(40, 3), pa.uint16()))
    planted_derived.write_measures(output, rows, "eeee0000", GRID)
    with pytest.raises(ValueError, match="run=eeee0000: the halves of saliency are not halves of 2 x 3 blocks"):
        read_measures(str(output), run, images)


def test_zeroed_scores_stand_with_their_images_and_count_once(ranked):
    output, table, half, run, images = ranked
    rows = planted_derived.zeroed(table, half, GRID)
    shuffled = rows.take(pa.array(np.random.default_rng(1).permutation(rows.num_rows)))
    planted_derived.write_zeroed(output, pa.concat_tables([shuffled, rows.slice(3, 50)]))
    model = read_zeroed(str(output), run, images)[0]
    stored = {(r["image_id"], r["ranking"], r["zeroed_half"]): r["score"] for r in rows.to_pylist()}
    assert set(model.halves) == set(planted_derived.RANKINGS)
    for position, (image_id, split) in enumerate(zip(images.image_id, images.split, strict=True)):
        if split != "test":
            assert np.isnan(model.score_N[position])
            continue
        assert model.score_N[position] == stored[image_id, None, "none"]
        for ranking, (important_N, trivial_N) in model.halves.items():
            assert important_N[position] == stored[image_id, ranking, "important"]
            assert trivial_N[position] == stored[image_id, ranking, "trivial"]
    assert np.isnan(model.single_change_NK).all()
    assert model.note == ""


def test_rows_for_another_rank_run_are_not_used_and_the_reason_is_named(ranked):
    output, table, half, run, images = ranked
    rows = planted_derived.zeroed(table, half, GRID)
    planted_derived.write_zeroed(output, rows, "dbcnn", rank_key="ffffffff")
    planted_derived.write_zeroed(output, rows, "triq")
    assert [model.model for model in read_zeroed(str(output), run, images)] == ["triq"]
    assert "other rank runs only, none for 0123abcd" in why_not_zeroed(str(output), run, "dbcnn")
    assert why_not_zeroed(str(output), run, "koncept") == "nothing is stored: jobs/zero.py writes it"
    assert why_not_zeroed(str(output), run, "triq") == ""


def test_models_stand_in_the_papers_order_and_unknown_images_are_counted(ranked):
    output, table, half, run, images = ranked
    rows = planted_derived.zeroed(table, half, GRID, where=np.ones(40, bool))
    for model in ("mine", "swin_iqa", "dbcnn", "triq"):
        planted_derived.write_zeroed(output, rows, model)
    strange = rows.set_column(0, rows.schema.field(0), pa.array([f"new/{i}" for i in rows["image_id"].to_pylist()]))
    planted_derived.write_zeroed(output, pa.concat_tables([rows, strange]), "koncept")
    found = read_zeroed(str(output), run, images)
    assert [model.model for model in found] == ["triq", "koncept", "dbcnn", "swin_iqa", "mine"]
    assert found[1].note == "40 zeroed images are not in rank run 0123abcd and left out"


def test_single_blocks_may_come_from_a_run_of_their_own(ranked):
    output, table, half, run, images = ranked
    whole = planted_derived.zeroed(table, half, GRID, noise=0)
    single = planted_derived.zeroed(table, half, GRID, rankings=(), noise=0, single=True)
    for key, rows, day in (("aaaa0000", whole, "2026-03-01"), ("bbbb0000", single, "2026-04-01")):
        planted_derived.write_zeroed(output, rows, key=key, created=f"{day}T00:00:00+00:00")
    model = read_zeroed(str(output), run, images)[0]
    assert model.key == "aaaa0000"
    assert set(model.halves) == set(planted_derived.RANKINGS)
    known = np.isfinite(model.single_change_NK).all(1)
    assert known.sum() == 20
    # A block of the planted half weighs 0.3, another one 1 / 30.
    inside = images.halves["level_plcc"][known][:, None] >> np.arange(6) & 1
    expected = np.where(inside, 0.3, 0.1 / 3) * np.abs(images.score_N[known] - planted.MIDDLE)[:, None]
    np.testing.assert_allclose(model.single_change_NK[known], expected, atol=1e-5)
