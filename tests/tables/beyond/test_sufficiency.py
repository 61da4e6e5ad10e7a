import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import important_half
from halfiqa_ray.tables import build, experiments
from halfiqa_ray.tables.beyond import sufficiency_text
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored import curves, reading
from halfiqa_ray.tables.stored.reading import find_run, read_images, vectors
from tests.tables import planted

GRID = Grid(2, 3)
ORDERS = {"most important first": -1, "least important first": 1}


def make(output, table, grid=GRID, resamples=100, files=3):
    planted.write(output, table, files, grid=grid)
    run = find_run(str(output), "planted")
    images = read_images(run)
    resampling = Resampling(resamples, 1)
    made = build.make_run_tables(run, resampling=resampling, images=images)
    return made, experiments.stored_score_tables(run, images, made, [], [], "level_plcc", resampling)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    table, _ = planted.rows(80, GRID, noise=0.15, share=0.8)
    made, tables = make(tmp_path_factory.mktemp("small"), table)
    return table, made, tables


def rows_of(tables, **wanted):
    rows = tables["sufficiency"].to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_every_point_of_every_rule_is_scipys_with_blocks_kept_in_order(small):
    table, _, tables = small
    scores = vectors(table["subset_scores"]).astype(float)
    mos = table["mos"].to_numpy()
    test = np.array(table["split"].to_pylist()) == "test"
    for rule in ("level_plcc", "score_change", "shapley", "banzhaf"):
        importance = vectors(table[f"importance_{rule}"])
        for order, sign in ORDERS.items():
            ranked = np.argsort(sign * importance, axis=1)
            for scope, at in (("all", slice(None)), ("test", test)):
                rows = rows_of(tables, scope=scope, name=rule, order=order)
                assert [row["blocks_kept"] for row in rows] == [1, 2, 3, 4, 5, 6]
                for row in rows:
                    kept = (1 << ranked[:, : row["blocks_kept"]]).sum(1)
                    x = scores[np.arange(80), kept][at]
                    assert row["plcc"] == pytest.approx(pearsonr(x, scores[at, -1]).statistic, abs=1e-9)
                    assert row["plcc_mos"] == pytest.approx(pearsonr(x, mos[at]).statistic, abs=1e-9)
                    assert row["fraction"] == row["blocks_kept"] / 6
                    assert row["plcc_low"] <= row["plcc"] <= row["plcc_high"]


def test_half_of_the_blocks_is_section_2(small):
    _, made, tables = small
    section2 = {(row["scope"], row["name"]): row for row in made.section2.to_pylist() if row["kind"] == "rule"}
    seen = 0
    for row in rows_of(tables, kind="rule", blocks_kept=3):
        masked = "trivial" if row["order"] == "most important first" else "important"
        expected = section2[row["scope"], row["name"]]
        assert row["plcc"] == pytest.approx(expected[masked], abs=1e-12)
        assert row["plcc_mos"] == pytest.approx(expected[f"{masked}_mos"], abs=1e-12)
        seen += 1
    assert seen == 3 * 5 * 2


def test_random_order_best_subset_and_oracle_by_brute_force(small):
    table, _, tables = small
    scores = vectors(table["subset_scores"]).astype(float)
    full, sizes = scores[:, -1], np.array([bin(s).count("1") for s in range(64)])
    plcc = np.array([pearsonr(scores[:, s], full).statistic if s else np.nan for s in range(64)])
    change = np.abs(scores - full[:, None])
    for size in range(1, 7):
        wanted = {"scope": "all", "blocks_kept": size}
        of_size = np.flatnonzero(sizes == size)
        (random,) = rows_of(tables, name="random order", **wanted)
        assert random["plcc"] == pytest.approx(plcc[of_size].mean())
        assert random["note"] == f"mean over {len(of_size)} subsets"
        (best,) = rows_of(tables, name="best fixed subset", **wanted)
        assert best["kept"] == of_size[np.argmax(plcc[of_size])]
        assert best["plcc"] == pytest.approx(plcc[of_size].max())
        (oracle,) = rows_of(tables, name="oracle, image by image", **wanted)
        chosen = of_size[np.argmin(change[:, of_size], axis=1)]
        assert oracle["plcc"] == pytest.approx(pearsonr(scores[np.arange(80), chosen], full).statistic)
    for row in rows_of(tables, blocks_kept=6):
        assert row["plcc"] == pytest.approx(1)


def only_one_block_matters(count=60, block=3):
    """Scores that are the image's own when the block is kept, and nearly the same for all images when it is not."""
    table, _ = planted.rows(count, GRID)
    draw = np.random.default_rng(3)
    kept = GRID.kept()[:, block]
    quality = table["score"].to_numpy().astype(float)
    scores = np.where(kept, quality[:, None], 3 + 0.01 * draw.normal(size=(count, 64))).astype(np.float32)
    importance = np.where(np.arange(6) == block, 1.0, 0.1 * draw.random((count, 6)))
    columns = {"subset_scores": planted.lists(scores)}
    for rule in ("level_plcc", "score_change", "shapley", "banzhaf"):
        columns[f"importance_{rule}"] = planted.lists(importance)
        columns[f"important_{rule}"] = important_half(importance)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), [values])
    return table


def test_where_one_block_matters_one_block_is_enough_and_the_others_are_not(tmp_path):
    tables = make(tmp_path, only_one_block_matters())[1]
    found = {
        (row["name"], row["order"], row["level"]): row
        for row in tables["sufficient_fraction"].to_pylist()
        if row["scope"] == "all"
    }
    for level in (0.95, 0.9):
        for name in ("level_plcc", "image_plcc", "shapley"):
            row = found[name, "most important first", level]
            assert (row["blocks_kept"], row["fraction"]) == (1, pytest.approx(1 / 6))
            assert (row["fraction_low"], row["fraction_high"]) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
            assert found[name, "least important first", level]["blocks_kept"] == 6
        assert found["oracle, image by image", None, level]["blocks_kept"] == 1
        assert found["best fixed subset", None, level]["blocks_kept"] == 1
        # With k of 6 blocks kept the block that matters is in k / 6 of the subsets.
        assert found["random order", None, level]["blocks_kept"] == 6
    (best,) = rows_of(tables, scope="all", name="best fixed subset", blocks_kept=1)
    assert best["kept"] == 1 << 3
    interaction = [row["magnitude"] for row in tables["interaction"].to_pylist()]
    assert max(interaction) < 0.02


def test_interaction_is_what_two_blocks_do_beyond_their_sum(tmp_path):
    table, _ = planted.rows(40, GRID)
    kept = GRID.kept().astype(float)
    draw = np.random.default_rng(4)
    alone, joint = draw.normal(size=(40, 6)), draw.normal(0.5, 0.1, size=40)
    scores = (3 + alone @ kept.T + joint[:, None] * kept[:, 1] * kept[:, 4]).astype(np.float32)
    place = table.schema.get_field_index("subset_scores")
    table = table.set_column(place, table.schema.field(place), planted.lists(scores))
    rows = make(tmp_path, table)[1]["interaction"].to_pylist()
    found = {(row["first"], row["second"]): row for row in rows if row["scope"] == "all"}
    assert len(found) == 15
    for pair, row in found.items():
        expected = joint.mean() if pair == (1, 4) else 0
        assert row["mean"] == pytest.approx(expected, abs=1e-5)
        assert row["magnitude"] == pytest.approx(expected, abs=1e-5)


def test_batches_and_files_do_not_matter(small, tmp_path, monkeypatch):
    table, _, tables = small
    monkeypatch.setattr(reading, "BATCH_BYTES", 64 * 4 * 7)
    again = make(tmp_path, table, files=5)[1]
    for name in ("sufficiency", "interaction", "agreement"):
        for a, b in zip(tables[name].to_pylist(), again[name].to_pylist(), strict=True):
            for column, value in a.items():
                assert b[column] == (pytest.approx(value, abs=1e-12) if isinstance(value, float) else value)


def test_a_scalar_head_leaves_its_curve_blank(tmp_path):
    table, _ = planted.rows(30, GRID, levels=False, mos=False)
    tables = make(tmp_path, table)[1]
    rows = rows_of(tables, name="level_plcc")
    assert {(row["n"], row["plcc"], row["plcc_mos"]) for row in rows} == {(0, None, None)}
    assert {row["note"] for row in rows} == {"no images with importance by this rule"}
    text = sufficiency_text.FRACTION.console(tables["sufficient_fraction"])
    text += sufficiency_text.PAGE.markdown(tables["sufficiency"])
    assert "never" in text
    assert "No MOS." in text
    assert "nan" not in text.replace("planted", "")


@settings(deadline=None)
@given(arrays(np.float64, (4, 6), elements=st.integers(0, 3).map(float)))
def test_kept_blocks_nest_have_their_size_and_pass_through_the_half(importance):
    half = important_half(importance).astype(np.int64)
    kept = curves.kept_by_importance(importance, half)
    most, least = (c.kept_NK for c in curves.image_curves(GRID, {"r": importance}, {"r": half}))
    np.testing.assert_array_equal(most, kept)
    np.testing.assert_array_equal(most[:, 2], half)
    for order in (most, least):
        assert (np.bitwise_count(order) == np.arange(1, 7)).all()
        assert (order[:, :-1] & order[:, 1:] == order[:, :-1]).all()
    for size in range(1, 6):
        assert (most[:, size - 1] ^ least[:, 5 - size] == 63).all()


def test_importance_that_was_rounded_to_a_tie_keeps_the_stored_half():
    importance = np.ones((1, 6))
    assert curves.kept_by_importance(importance, np.array([0b101010]))[0, 2] == 0b101010
    assert (curves.kept_by_importance(np.full((1, 6), np.nan), np.array([0])) == -1).all()
