import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import table1_text
from halfiqa_ray.tables.experiments import zeroing_tables
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import read_zeroed
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.tables import planted, planted_derived

GRID = Grid(2, 3)
FIVE = ("triq", "aihiqnet", "koncept", "dbcnn", "swin_iqa")


def make(output, table, models, rule="level_plcc", resamples=100, **metadata):
    """Table I, its controls and the averaged measure as lists of rows; `models` maps names to zeroed rows."""
    planted.write(output, table, grid=GRID, **metadata)
    for model, rows in models.items():
        synthetic = metadata.get("synthetic", True)
        planted_derived.write_zeroed(
            output, rows, model, dataset=metadata.get("dataset", "planted"), synthetic=synthetic
        )
    run = find_run(str(output), metadata.get("dataset", "planted"))
    images = read_images(run)
    zeroed = read_zeroed(str(output), run, images)
    return zeroing_tables(str(output), run, images, zeroed, rule, Resampling(resamples, 1))


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory):
    table, half = planted.rows(240, GRID, photos=30)
    rows = {model: planted_derived.zeroed(table, half, GRID, noise=0.1, seed=i) for i, model in enumerate(FIVE[:2])}
    return table, rows, make(tmp_path_factory.mktemp("planted"), table, rows, resamples=200)


def by_name(table, scope="test"):
    return {(row["model"], row["ranking"]): row for row in table.to_pylist() if row["scope"] == scope}


def scores(rows, ranking, half):
    return {r["image_id"]: r["score"] for r in rows.to_pylist() if (r["ranking"], r["zeroed_half"]) == (ranking, half)}


def test_every_number_is_scipys_over_the_zeroed_images(planted_run):
    table, rows, made = planted_run
    found = by_name(made["table1"])
    mos = dict(zip(table["image_id"].to_pylist(), table["mos"].to_pylist(), strict=True))
    for model in rows:
        original = scores(rows[model], None, "none")
        ids = sorted(original)
        assert len(ids) == 120
        for ranking in planted_derived.RANKINGS:
            row = found[model, ranking]
            assert (row["n"], row["n_mos"], row["resampled_units"]) == (120, 120, 15)
            test = pearsonr([original[i] for i in ids], [mos[i] for i in ids]).statistic
            assert row["test"] == pytest.approx(test, abs=1e-9)
            for half in ("important", "trivial"):
                zeroed = scores(rows[model], ranking, half)
                x = [zeroed[i] for i in ids]
                assert row[half] == pytest.approx(pearsonr(x, [original[i] for i in ids]).statistic, abs=1e-9)
                assert row[f"{half}_mos"] == pytest.approx(pearsonr(x, [mos[i] for i in ids]).statistic, abs=1e-9)
            assert row["difference"] == pytest.approx(row["trivial"] - row["important"])
            assert row["difference_mos"] == pytest.approx(row["trivial_mos"] - row["important_mos"])
            for name in ("test", "important", "trivial", "difference", "important_mos", "difference_mos"):
                assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_the_planted_half_is_found_and_the_controls_find_nothing(planted_run):
    _, _, made = planted_run
    for (model, ranking), row in by_name(made["table1"]).items():
        if model not in FIVE[:2]:
            continue
        if row["kind"] == "control":
            assert row["difference_low"] < 0 < row["difference_high"]
        else:
            assert row["difference_low"] > 0.2, ranking
        assert row["kind"] == {"averaged_pixel": "measure"}.get(ranking, "control" if "control" in ranking else "rule")


def test_differences_from_the_controls_are_paired(planted_run):
    _, _, made = planted_run
    found = by_name(made["table1"])
    controls = made["table1_controls"].to_pylist()
    assert len(controls) == 2 * 2 * 3 * 3  # scopes, models, rankings, controls
    for row in controls:
        if row["scope"] != "test":
            continue
        ours, theirs = found[row["model"], row["ranking"]], found[row["model"], row["control"]]
        for name in ("important", "important_mos", "trivial", "trivial_mos"):
            assert row[name] == pytest.approx(ours[name] - theirs[name])
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert row["important_high"] < 0 < row["trivial_low"]
        # Paired: of the same images, so narrower than the two intervals together.
        width = sum(r["trivial_high"] - r["trivial_low"] for r in (ours, theirs))
        assert row["trivial_high"] - row["trivial_low"] < width


def test_scopes_are_the_test_split_and_all_that_was_zeroed(tmp_path):
    table, half = planted.rows(120, GRID, splits=("train", "test", "test_same_photo"))
    splits = np.array(table["split"].to_pylist())
    rows = planted_derived.zeroed(table, half, GRID, where=(splits != "train") | (np.arange(120) < 30))
    found = make(tmp_path, table, {"triq": rows})["table1"].to_pylist()
    n = {row["scope"]: row["n"] for row in found if row["model"] == "triq" and row["default_rule"]}
    assert n == {"all": 90, "test": 40, "test_same_photo": 40}


def test_images_with_single_blocks_zeroed_only_are_not_among_the_zeroed(tmp_path):
    table, half = planted.rows(60, GRID)
    test = np.array(table["split"].to_pylist()) == "test"
    sample = planted_derived.zeroed(table, half, GRID, rankings=(), single=True, where=~test)
    rows = pa.concat_tables([planted_derived.zeroed(table, half, GRID), sample])
    found = make(tmp_path, table, {"triq": rows})["table1"]
    of_test, of_all = (by_name(found, scope)["triq", "level_plcc"] for scope in ("test", "all"))
    for name in ("n", "n_mos", "resampled_units", "test", "important_mos"):
        assert of_all[name] == of_test[name]


def test_missing_models_and_rankings_are_named_and_blank(planted_run, tmp_path):
    found = by_name(planted_run[2]["table1"])
    for model in FIVE[2:]:
        row = found[model, "level_plcc"]
        assert (row["n"], row["test"], row["important"], row["difference_low"]) == (0, None, None, None)
        assert row["note"] == "nothing is stored: jobs/zero.py writes it"
    table, half = planted.rows(40, GRID)
    rows = planted_derived.zeroed(table, half, GRID, rankings=("score_change", "control_random"))
    partly = by_name(make(tmp_path, table, {"triq": rows})["table1"])
    for ranking in ("level_plcc", "averaged", "control_centre", "control_other"):
        assert partly["triq", ranking]["important"] is None
        assert partly["triq", ranking]["note"].endswith(f"not zeroed by {ranking}")
        assert partly["triq", ranking]["test"] is not None
    assert partly["triq", "score_change"]["important"] is not None


def test_nothing_zeroed_at_all_is_said(tmp_path):
    table, _ = planted.rows(20, GRID)
    made = make(tmp_path, table, {})
    rows = made["table1"].to_pylist()
    assert [row["model"] for row in rows] == list(FIVE)
    assert {row["n"] for row in rows} == {0}
    assert made["table1_controls"].num_rows == 0
    (averaged,) = made["averaged_measure"].to_pylist()
    assert "jobs/zero.py" in averaged["note"]
    assert (averaged["important"], averaged["paper_important"], averaged["paper_trivial"]) == (None, 0.803, 0.885)
    text = table1_text.TABLE1.console(made["table1"]) + table1_text.AVERAGED.console(made["averaged_measure"])
    assert "nan" not in text.lower().replace("planted", "")


def test_without_mos_the_mos_columns_are_blank(tmp_path):
    table, half = planted.rows(60, GRID, mos=False)
    made = make(tmp_path, table, {"triq": planted_derived.zeroed(table, half, GRID)})
    row = by_name(made["table1"])["triq", "level_plcc"]
    assert row["important"] is not None
    assert row["n_mos"] == 0
    assert row["test"] is row["important_mos"] is row["trivial_mos"] is row["difference_mos_low"] is None
    assert "no MOS" in row["note"]


def test_an_image_with_one_half_only_counts_in_neither(tmp_path):
    table, half = planted.rows(60, GRID)
    rows = planted_derived.zeroed(table, half, GRID)
    lost = np.array([(r["ranking"], r["zeroed_half"]) == ("level_plcc", "trivial") for r in rows.to_pylist()])
    lost &= np.cumsum(lost) <= 10
    found = by_name(make(tmp_path, table, {"triq": rows.filter(pa.array(~lost))})["table1"])
    assert found["triq", "level_plcc"]["n"] == 20
    assert found["triq", "score_change"]["n"] == 30
    left = set(scores(rows.filter(pa.array(~lost)), "level_plcc", "trivial"))
    important, original = scores(rows, "level_plcc", "important"), scores(rows, None, "none")
    expected = pearsonr([important[i] for i in left], [original[i] for i in left]).statistic
    assert found["triq", "level_plcc"]["important"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ({"dataset": "koniq10k", "layout": "koniq10k", "synthetic": False}, "KonIQ-10k"),  # not 3 x 4 blocks
        ({"dataset": "spaq", "layout": "spaq", "synthetic": True}, "SPAQ"),
        ({"dataset": "demo-koniq", "layout": "folder", "synthetic": True}, "KonIQ-10k"),
        ({"dataset": "photos", "layout": "folder", "synthetic": False}, None),
    ],
)
def test_the_paper_is_told_with_its_data_set_and_never_compared_with_other_data(tmp_path, metadata, title):
    table, half = planted.rows(30, GRID)
    made = make(tmp_path, table, {"koncept": planted_derived.zeroed(table, half, GRID)}, **metadata)
    rows = made["table1"].to_pylist()
    assert {row["test_minus_paper"] for row in rows} == {None}
    row = by_name(made["table1"])["koncept", "level_plcc"]
    assert row["paper_dataset"] == title
    text = table1_text.TABLE1.console(made["table1"])
    assert (f"paper on {title}" in text) == (title is not None)
    assert "less the paper's" not in text
    assert by_name(made["table1"])["koncept", "averaged_pixel"]["paper_important"] is None


def test_the_real_data_set_stands_beside_the_paper_with_its_difference(tmp_path):
    grid = Grid(3, 4)
    table, half = planted.rows(40, grid)
    planted.write(tmp_path, table, dataset="spaq", layout="spaq", synthetic=False)
    for i, model in enumerate(FIVE):
        rows = planted_derived.zeroed(table, half, grid, seed=i, noise=0.1)
        planted_derived.write_zeroed(tmp_path, rows, model, dataset="spaq", synthetic=False)
    run = find_run(str(tmp_path), "spaq")
    images = read_images(run)
    zeroed = read_zeroed(str(tmp_path), run, images)
    made = zeroing_tables(str(tmp_path), run, images, zeroed, "level_plcc", Resampling(50, 1))
    row = by_name(made["table1"])["swin_iqa", "level_plcc"]
    assert (row["paper_test"], row["paper_important"], row["paper_important_mos"]) == (0.933, 0.804, 0.782)
    assert (row["paper_trivial"], row["paper_trivial_mos"]) == (0.963, 0.902)
    for name in ("test", "important", "important_mos", "trivial", "trivial_mos"):
        assert row[f"{name}_minus_paper"] == pytest.approx(row[name] - row[f"paper_{name}"])
    # The paper's numbers are of its test set.
    assert by_name(made["table1"], "all")["swin_iqa", "level_plcc"]["important_minus_paper"] is None
    text = table1_text.TABLE1.markdown(made["table1"])
    assert "less the paper's" in text
    assert "0.933; 0.804 / 0.782; 0.963 / 0.902" in text
    assert "SYNTHETIC" not in text
    mean = next(r for r in made["averaged_measure"].to_pylist() if (r["scope"], r["model"]) == ("test", "mean"))
    assert mean["important_minus_paper"] == pytest.approx(mean["important"] - 0.803)
    assert mean["models"] == 5
    assert "without" not in mean["note"]


def test_the_averaged_measure_is_the_mean_over_the_models_that_are_there(planted_run):
    _, _, made = planted_run
    table1 = by_name(made["table1"])
    rows = {r["model"]: r for r in made["averaged_measure"].to_pylist() if r["scope"] == "test"}
    assert list(rows) == ["triq", "aihiqnet", "mean"]
    for half in ("important", "trivial", "difference"):
        of_models = [table1[model, "averaged_pixel"][half] for model in ("triq", "aihiqnet")]
        assert [rows[model][half] for model in ("triq", "aihiqnet")] == of_models
        assert rows["mean"][half] == pytest.approx(np.mean(of_models))
        assert rows["mean"][f"{half}_low"] <= rows["mean"][half] <= rows["mean"][f"{half}_high"]
    assert "models: triq, aihiqnet" in rows["mean"]["note"]
    assert "without KonCept, DBCNN, Swin-IQA" in rows["mean"]["note"]
    assert rows["mean"]["important_minus_paper"] is None
    assert "0.803 / 0.885" in table1_text.AVERAGED.console(made["averaged_measure"])


def test_an_average_with_another_objectness_is_told(tmp_path):
    table, half = planted.rows(30, GRID)
    rows = planted_derived.zeroed(table, half, GRID, rankings=("level_plcc", "averaged_boundary_connectivity"))
    mean = make(tmp_path, table, {"triq": rows})["averaged_measure"].to_pylist()[-1]
    assert mean["ranking"] == "averaged_boundary_connectivity"
    assert "not the paper's average" in mean["note"]


def test_the_interval_of_the_mean_is_of_the_mean_in_the_same_resamples(tmp_path):
    """Two models with the same scores: their mean is as uncertain as one of them, not less."""
    table, half = planted.rows(60, GRID)
    rows = planted_derived.zeroed(table, half, GRID, noise=0.2)
    found = {
        r["model"]: r for r in make(tmp_path, table, {"triq": rows, "dbcnn": rows})["averaged_measure"].to_pylist()
    }
    for end in ("low", "high"):
        assert found["mean"][f"important_{end}"] == pytest.approx(found["triq"][f"important_{end}"])


def test_one_photo_gives_no_interval(tmp_path):
    table, half = planted.rows(60, GRID, photos=1)
    made = make(tmp_path, table, {"triq": planted_derived.zeroed(table, half, GRID)})
    row = by_name(made["table1"])["triq", "level_plcc"]
    assert row["important"] is not None
    assert row["important_low"] is None
    assert "no interval from fewer than 8 source photos" in row["note"]


def test_a_model_whose_score_does_not_vary_has_no_correlation(tmp_path):
    table, half = planted.rows(30, GRID)
    rows = planted_derived.zeroed(table, half, GRID)
    flat = rows.set_column(7, rows.schema.field(7), pa.array(np.full(rows.num_rows, 3.0), pa.float32()))
    made = make(tmp_path, table, {"triq": flat, "dbcnn": rows})
    row = by_name(made["table1"])["triq", "level_plcc"]
    assert row["n"] == 15
    assert row["important"] is row["test"] is None
    assert "nothing varies" in row["note"]
    mean = made["averaged_measure"].to_pylist()[-1]
    assert mean["important"] is None
    assert "no mean: nothing varies in triq" in mean["note"]
