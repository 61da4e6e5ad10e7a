"""The comparison of halves by explanations: numbers are scipy's, of the same images, and say what is missing."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr

from halfiqa_ray import schema, storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.beyond import explanations_text
from halfiqa_ray.tables.beyond.explanations import NONE, explanations
from halfiqa_ray.tables.experiments import explanation_tables, zeroing_tables
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import read_explanations, read_zeroed
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.tables import planted, planted_derived

GRID = Grid(2, 3)
TRIQS, OWN = ("grad_cam_triq", "lime_triq"), ("grad_cam_koncept", "lime_koncept")
CONTROLS = ("control_random", "control_centre", "control_other")
OTHERS = ("level_plcc", "score_change", "saliency", *CONTROLS)
EXPLAINED = 40  # of the 120 test images


def explained_rows(table, halves):
    """Rows of ``schema.explain``: `halves` maps methods to important halves (N,)."""
    means = {m: (h[:, None] >> np.arange(GRID.blocks) & 1).astype(np.float32) for m, h in halves.items()}
    measured = planted_derived.measures(table, means, GRID)
    columns = {f.name: measured[f.name] for f in schema.explain(GRID.blocks) if f.name in measured.column_names}
    columns |= {"method": measured["measure"], "signed_means": measured["block_means"]}
    columns["score"] = pa.array(np.zeros(measured.num_rows), pa.float32())
    return pa.table([columns[f.name] for f in schema.explain(GRID.blocks)], schema=schema.explain(GRID.blocks))


def write_explained(output, rows, model, key="55556666", dataset="planted", **metadata):
    facts = {"run_key": key, "grid": {"rows": GRID.rows, "columns": GRID.columns}, "model": model} | metadata
    folder = output / "explain" / f"dataset={dataset}" / f"model={model}" / f"run={key}"
    planted_derived._write(folder, rows, facts)


def first_tests(table, count=EXPLAINED):
    test = np.array([split == "test" for split in table["split"].to_pylist()])
    return test & (np.cumsum(test) <= count)


def write(output, mos=True, stale=0):
    """TRIQ and KonCept: all rankings of 120 test images, explanations of 40 of them.

    LIME's halves are the planted ones, Grad-CAM's random; `stale` images of lime_triq have another half zeroed.
    """
    table, half = planted.rows(240, GRID, photos=30, mos=mos)
    planted.write(output, table, grid=GRID)
    random = 63 ^ planted_derived.random_halves(GRID, table["image_id"].to_pylist(), 7).astype(int)
    few = first_tests(table)
    taken = pa.array(few)
    zeroed = {}
    for seed, model in enumerate(("triq", "koncept")):
        own = TRIQS if model == "triq" else (*TRIQS, *OWN)
        parts = [planted_derived.zeroed(table, half, GRID, OTHERS, noise=0.1, seed=seed)]
        for name in own:
            by = {} if name.startswith("lime") else {name: random}
            some = planted_derived.zeroed(table, half, GRID, (name,), noise=0.1, seed=seed, where=few, by=by)
            parts.append(some.filter(pa.array([ranking is not None for ranking in some["ranking"].to_pylist()])))
        rows = pa.concat_tables(parts)
        planted_derived.write_zeroed(output, rows, model)
        zeroed[model] = rows
        halves = {"grad_cam": random, "lime": half.copy()}
        if stale and model == "triq":
            at = np.flatnonzero(few)[:stale]
            halves["lime"][at] = 63 ^ halves["lime"][at]
        write_explained(output, explained_rows(table, halves).filter(pa.array(np.tile(few, 2))), model)
    return table, zeroed, table.filter(taken)["image_id"].to_pylist()


def made(output, resamples=60):
    run = find_run(str(output), "planted")
    images = read_images(run)
    models = read_zeroed(str(output), run, images)
    explained = read_explanations(str(output), run, images, models)
    return explanations(run, images, models, explained, "level_plcc", Resampling(resamples, 1))


def by_name(table, scope="test"):
    return {(row["model"], row["kind"], row["ranking"]): row for row in table.to_pylist() if row["scope"] == scope}


def scores(rows, ranking, half):
    return {r["image_id"]: r["score"] for r in rows.to_pylist() if (r["ranking"], r["zeroed_half"]) == (ranking, half)}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    output = tmp_path_factory.mktemp("compared")
    table, zeroed, ids = write(output)
    return output, table, zeroed, ids, made(output)


def test_every_number_is_scipys_on_the_explained_images(compared):
    """Rows of rules, measures and controls too, though more images were zeroed by them."""
    _, table, zeroed, ids, found = compared
    rows = by_name(found)
    mos = dict(zip(table["image_id"].to_pylist(), table["mos"].to_pylist(), strict=True))
    assert len(ids) == EXPLAINED
    for model, stored in zeroed.items():
        original = scores(stored, None, "none")
        for (name, kind, ranking), row in rows.items():
            if name != model:
                continue
            assert (row["n"], row["n_mos"], row["models"]) == (EXPLAINED, EXPLAINED, 1), kind
            assert row["test"] == pytest.approx(pearsonr([original[i] for i in ids], [mos[i] for i in ids])[0])
            for half in ("important", "trivial"):
                x = [scores(stored, ranking, half)[i] for i in ids]
                assert row[half] == pytest.approx(pearsonr(x, [original[i] for i in ids])[0])
                assert row[f"{half}_mos"] == pytest.approx(pearsonr(x, [mos[i] for i in ids])[0])
            assert row["difference"] == pytest.approx(row["trivial"] - row["important"])
            assert row["difference_mos"] == pytest.approx(row["trivial_mos"] - row["important_mos"])
            random = rows[model, "control", "control_random"]
            if kind == "control":
                assert row["difference_minus_random"] is None
                continue
            for what in ("important", "trivial", "difference"):
                assert row[f"{what}_minus_random"] == pytest.approx(row[what] - random[what])
            for what in ("test", "important", "difference", "difference_minus_random", "trivial_mos"):
                assert row[f"{what}_low"] <= row[what] <= row[f"{what}_high"]


def test_whose_explanation_serves_where(compared):
    *_, found = compared
    rows = by_name(found)
    of = {model: {(kind, ranking) for name, kind, ranking in rows if name == model} for model in ("triq", "koncept")}
    explained = {("explanation", name) for name in TRIQS}
    assert {one for one in of["triq"] if "explanation" in one[0]} == explained
    assert {one for one in of["koncept"] if "explanation" in one[0]} == explained | {
        ("own explanation", name) for name in OWN
    }
    assert rows["mean", "own explanation", "lime"]["models"] == 2
    assert {row["explain_run"] for (_, kind, _), row in rows.items() if "explanation" in kind} == {"55556666"}
    assert {row["explain_run"] for (_, kind, _), row in rows.items() if "explanation" not in kind} == {None}
    assert [row["default_rule"] for (_, _, ranking), row in rows.items() if ranking == "level_plcc"] == [True] * 3


def test_means_over_models(compared):
    *_, found = compared
    rows = by_name(found)
    names = {ranking for model, kind, ranking in rows if model == "mean" and kind != "own explanation"}
    assert names == {*TRIQS, *OTHERS}
    for kind, ranking in {(kind, ranking) for model, kind, ranking in rows if model == "mean"}:
        mean = rows["mean", kind, ranking]
        of = [rows.get((model, kind, ranking)) for model in ("triq", "koncept")]
        if kind == "own explanation":
            of = [rows["triq", "explanation", f"{ranking}_triq"], rows["koncept", kind, f"{ranking}_koncept"]]
        for what in ("important", "trivial_mos", "difference", "test"):
            assert mean[what] == pytest.approx(np.mean([row[what] for row in of]))
            assert mean[f"{what}_low"] <= mean[what] <= mean[f"{what}_high"]


def test_the_planted_half_is_told_from_a_random_one(compared):
    *_, found = compared
    rows = by_name(found)
    for model in ("triq", "koncept", "mean"):
        planted, random = (rows[model, "explanation", f"{method}_triq"] for method in ("lime", "grad_cam"))
        assert planted["difference_minus_random_low"] > 0
        assert planted["difference"] > random["difference"] + 0.1
        assert random["difference_minus_random_low"] < 0 < random["difference_minus_random_high"]


def test_halves_of_another_explanation_do_not_count(tmp_path):
    _, _, ids = write(tmp_path, stale=15)
    rows = by_name(made(tmp_path))
    assert {row["n"] for (model, *_), row in rows.items() if model != "mean"} == {EXPLAINED - 15}
    assert len(ids) == EXPLAINED


def test_of_several_explain_runs_the_one_that_was_zeroed_is_told(tmp_path):
    """Also when another one was made later: say, after the first settings were run again."""
    table, _, ids = write(tmp_path)
    few = pa.array(np.tile(np.isin(np.array(table["image_id"].to_pylist()), ids), 2))
    other = np.full(table.num_rows, 0b010101)
    rows = explained_rows(table, {"grad_cam": other, "lime": other}).filter(few)
    for key, day in (("55556666", "01"), ("99990000", "02"), ("00009999", "03")):
        folder = tmp_path / "explain" / "dataset=planted" / "model=triq" / f"run={key}"
        if key == "55556666":
            rows_of_run = pa.concat_tables([storage.read_table(str(file)) for file in sorted(folder.glob("*.parquet"))])
            shutil.rmtree(folder)
        else:
            rows_of_run = rows
        write_explained(tmp_path, rows_of_run, "triq", key, created=f"2026-01-{day}T00:00:00+00:00")
    rows = by_name(made(tmp_path))
    assert rows["triq", "explanation", "lime_triq"]["explain_run"] == "55556666"
    assert rows["triq", "explanation", "lime_triq"]["n"] == EXPLAINED


def test_without_mos_the_rest_is_there(tmp_path):
    write(tmp_path, mos=False)
    found = made(tmp_path)
    row = by_name(found)["mean", "explanation", "lime_triq"]
    assert row["important"] is not None
    assert row["test"] is row["important_mos"] is row["difference_mos_low"] is None
    assert "no MOS" in row["note"]
    text = explanations_text.PAGE.console(found)
    assert "MOS" not in text.replace("no MOS", "")
    assert "nan" not in text.replace("explanation", "").replace("planted", "")


def test_where_nothing_is_explained_one_row_says_so(tmp_path):
    table, half = planted.rows(60, GRID)
    planted.write(tmp_path, table, grid=GRID)
    planted_derived.write_zeroed(tmp_path, planted_derived.zeroed(table, half, GRID, OTHERS), "triq")
    [row] = made(tmp_path).to_pylist()
    assert row["note"] == NONE
    assert row["n"] == 0
    assert NONE in explanations_text.PAGE.markdown(made(tmp_path))


def test_table_1_leaves_explanations_out_and_pairs_controls_on_common_images(compared):
    """saliency was zeroed in fewer images than the controls: its difference is of those that have both."""
    output, _, zeroed, ids, _ = compared
    run = find_run(str(output), "planted")
    images = read_images(run)
    models = read_zeroed(str(output), run, images)
    triq = next(model for model in models if model.model == "triq")
    few = np.isin(np.array(images.image_id), ids)
    triq.halves["saliency"] = tuple(np.where(few, score_N, np.nan) for score_N in triq.halves["saliency"])
    tables = zeroing_tables(str(output), run, images, [triq], "level_plcc", Resampling(60, 1))
    rows = {row["ranking"]: row for row in tables["table1"].to_pylist() if row["scope"] == "test" and row["n"]}
    assert set(rows) == set(OTHERS)
    assert "40 of 120 images" in rows["saliency"]["note"]
    assert rows["level_plcc"]["note"] is None
    original = scores(zeroed["triq"], None, "none")
    pairs = {(r["ranking"], r["control"]): r for r in tables["table1_controls"].to_pylist() if r["scope"] == "test"}
    for control in CONTROLS:
        row = pairs["saliency", control]
        assert row["n"] == EXPLAINED
        for half in ("important", "trivial"):
            ours, theirs = (
                pearsonr([scores(zeroed["triq"], r, half)[i] for i in ids], [original[i] for i in ids])[0]
                for r in ("saliency", control)
            )
            assert row[half] == pytest.approx(ours - theirs)
            assert row[f"{half}_low"] <= row[half] <= row[f"{half}_high"]
        assert pairs["level_plcc", control]["n"] == 120


def test_text_and_agreement(compared):
    output, *_, found = compared
    page = explanations_text.PAGE.markdown(found)
    assert "lime_koncept (own)" in page
    assert "The paper gives no numbers" in page
    assert "SYNTHETIC" in page
    text = explanations_text.PAGE.console(found)
    assert "test: mean of 2 models, 40 images" in text
    assert "all:" not in text, "the explained images are the test split"
    assert "lime, own" in text
    assert "another image's half" in text
    run = find_run(str(output), "planted")
    tables = explanation_tables(str(output), run, read_images(run), "level_plcc", Resampling(60, 1))
    rows = {r["other"]: r for r in tables["agreement"].to_pylist()
            if (r["kind"], r["rule"], r["scope"]) == ("explanation", "level_plcc", "test")}  # fmt: skip
    assert set(rows) == {*TRIQS, *OWN}
    assert rows["lime_triq"]["n"] == EXPLAINED
    assert rows["lime_triq"]["overlap"] > 0.95
    assert abs(rows["grad_cam_triq"]["overlap"] - 0.5) < 0.15
