"""Deletion and insertion against loops over blocks, orders and images in float64."""

from itertools import pairwise, permutations

import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build, experiments
from halfiqa_ray.tables.beyond import faithfulness_text
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import read_fills, read_measures
from halfiqa_ray.tables.stored.reading import find_run, read_images, vectors
from tests.tables import planted, planted_derived

GRID, COUNT = Grid(2, 3), 40


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    output = tmp_path_factory.mktemp("faithful")
    table, half = planted.rows(COUNT, GRID, noise=0.15, share=0.8)
    planted.write(output, table, 3, grid=GRID)
    means = {"saliency": planted_derived.means_of(half, GRID, 0.5, 1)}
    planted_derived.write_measures(output, planted_derived.measures(table, means, GRID), grid=GRID, dataset="planted")
    run = find_run(str(output), "planted")
    images, resampling = read_images(run), Resampling(100, 1)
    statistics = build.make_run_tables(run, resampling=resampling, images=images)
    measures, _ = read_measures(str(output), run, images)
    found = experiments.stored_score_tables(run, images, statistics, measures, [], "level_plcc", resampling)
    return table.sort_by("image_id"), measures[0].means_NK, found["faithfulness"], found["faithfulness_curves"]


def areas(scores_S, order):
    """Deletion and insertion of one image, block after block, by the trapezoid rule in plain Python."""
    full, gone, kept, blocks = scores_S[-1], len(scores_S) - 1, 0, len(order)
    deletion, insertion = [0.0], [abs(scores_S[0] - full)]
    for block in order:
        gone, kept = gone & ~(1 << block), kept | 1 << block
        deletion.append(abs(scores_S[gone] - full))
        insertion.append(abs(scores_S[kept] - full))
    return [sum((a + b) / 2 / blocks for a, b in pairwise(v)) for v in (deletion, insertion)]


def row_of(table, name, scope="all"):
    (row,) = (row for row in table.to_pylist() if row["name"] == name and row["scope"] == scope)
    return row


def test_every_rule_and_measure_by_a_loop(made):
    table, means_NK, found, _ = made
    scores_NS = vectors(table["subset_scores"]).astype(float)
    weights = {f"{rule}": vectors(table[f"importance_{rule}"]) for rule in ("level_plcc", "score_change", "shapley")}
    test = np.array(table["split"].to_pylist()) == "test"
    for name, values_NK in (weights | {"saliency": means_NK}).items():
        each = np.array([areas(s, np.argsort(-v, kind="stable")) for s, v in zip(scores_NS, values_NK, strict=True)])
        for scope, at in (("all", slice(None)), ("test", test)):
            row = row_of(found, name, scope)
            assert row["kind"] == ("measure" if name == "saliency" else "rule")
            deletion, insertion = each[at].T
            assert row["deletion"] == pytest.approx(deletion.mean(), abs=1e-9)
            assert row["insertion"] == pytest.approx(insertion.mean(), abs=1e-9)
            assert row["gap"] == pytest.approx((deletion - insertion).mean(), abs=1e-9)
            assert row["better"] == pytest.approx((deletion > insertion).mean(), abs=1e-12)
            assert row["gap_low"] <= row["gap"] <= row["gap_high"]
            assert row["n"] == len(deletion)


def test_the_random_order_is_the_mean_over_all_orders(made):
    table, _, found, _ = made
    scores_NS = vectors(table["subset_scores"]).astype(float)[::8]
    every = np.array([[areas(s, order) for order in permutations(range(6))] for s in scores_NS]).mean((0, 1))
    assert every[0] == pytest.approx(every[1], abs=1e-9)  # a reversed order swaps the two
    few = [row_of(found, "random order")[name] for name in ("deletion", "insertion")]
    assert few[0] == few[1]
    row = row_of(found, "shapley")
    assert row["deletion_less_random"] == pytest.approx(row["deletion"] - few[0], abs=1e-12)
    assert row["random_less_insertion"] == pytest.approx(few[0] - row["insertion"], abs=1e-12)
    full = vectors(table["subset_scores"]).astype(float)
    sizes = np.array([bin(subset).count("1") for subset in range(64)])
    mean_R = np.array([np.abs(full[:, sizes == size] - full[:, -1:]).mean() for size in range(7)])
    assert few[0] == pytest.approx(np.trapezoid(mean_R) / 6, abs=1e-9)


def test_planted_importance_is_faithful_and_told(made):
    _, _, found, _ = made
    assert row_of(found, "score_change")["gap_low"] > 0
    text = faithfulness_text.PAGE.console(found)
    assert "level_plcc (default rule)" in text
    assert "random order" in text
    assert "nan" not in text


def eraser(scores_S, order):
    """ERASER's values of one image from their definition: m(x) - m(x without r), m(x) - m(r), absolute."""
    full, every = scores_S[-1], len(scores_S) - 1

    def both(count):
        rationale = sum(1 << int(block) for block in order[:count])
        return abs(full - scores_S[every ^ rationale]), abs(full - scores_S[rationale])

    # The first 1, 5, 10, 20 and 50% of 6 blocks, rounded up to blocks.
    bins = [both(count) for count in (1, 1, 1, 2, 3)]
    return [*both(3), sum(c for c, _ in bins) / 5, sum(s for _, s in bins) / 5]


NAMES = ("comprehensiveness", "sufficiency", "comprehensiveness_bins", "sufficiency_bins")


def test_comprehensiveness_and_sufficiency_by_a_loop(made):
    table, means_NK, found, _ = made
    scores_NS = vectors(table["subset_scores"]).astype(float)
    for name, values_NK in {"shapley": vectors(table["importance_shapley"]), "saliency": means_NK}.items():
        each = [eraser(s, np.argsort(-v, kind="stable")) for s, v in zip(scores_NS, values_NK, strict=True)]
        row = row_of(found, name)
        for column, expected in zip(NAMES, np.mean(each, axis=0), strict=True):
            assert row[column] == pytest.approx(expected, abs=1e-6)
            assert row[f"{column}_low"] <= row[column] <= row[f"{column}_high"]
    few = scores_NS[:4]
    every = np.array([[eraser(s, order) for order in permutations(range(6))] for s in few]).mean(1)
    sizes = np.array([bin(subset).count("1") for subset in range(64)])
    by_size = np.array([[np.abs(s[sizes == n] - s[-1]).mean() for n in range(7)] for s in scores_NS])
    row = row_of(found, "random order")
    assert by_size[:4, 3] == pytest.approx(every[:, 0], abs=1e-9)  # the exact mean is that over all orders
    assert row["comprehensiveness"] == pytest.approx(by_size[:, 3].mean(), abs=1e-6)
    assert row["sufficiency"] == row["comprehensiveness"]
    assert row["comprehensiveness_bins"] == pytest.approx(by_size[:, [5, 5, 5, 4, 3]].mean(), abs=1e-6)
    assert row["sufficiency_bins"] == pytest.approx(by_size[:, [1, 1, 1, 2, 3]].mean(), abs=1e-6)


def test_the_areas_are_those_under_the_curves(made):
    _, _, found, curves = made
    rows = [row for row in curves.to_pylist() if row["scope"] == "all"]
    for one in found.to_pylist():
        if one["scope"] != "all":
            continue
        some = [row for row in rows if row["name"] == one["name"]]
        assert [row["blocks"] for row in some] == list(range(7))
        assert some[-1]["fraction"] == 1
        for name in ("deletion", "insertion"):
            assert np.trapezoid([row[name] for row in some]) / 6 == pytest.approx(one[name], abs=1e-9)
            assert all(row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] for row in some)
        assert some[0]["deletion"] == some[-1]["insertion"] == 0  # the whole photo
        assert some[-1]["deletion"] == pytest.approx(some[0]["insertion"])  # nothing of it
    for text in (faithfulness_text.CURVES.markdown(curves), faithfulness_text.CURVES.console(curves)):
        assert "Deletion, by blocks masked" in text
        assert "nan" not in text


def test_orders_that_were_filled_by_a_loop(made, tmp_path):
    """Of two fills of another model; an image that lacks a row of an order has none of it."""
    table, *_ = made
    output, draw = tmp_path, np.random.default_rng(5)
    planted.write(output, table, 3, grid=GRID)
    ids = table["image_id"].to_pylist()
    rows, expected = [], {}
    for image_id, split in zip(ids, table["split"].to_pylist(), strict=True):
        about = {"image_id": image_id, "split": split, "source_photo": None, "mos": 3.0}
        whole = float(np.float32(draw.normal(3)))
        rows.append(
            about | {"ranking": None, "zeroed_half": "none", "zeroed_blocks": 0, "fill": "none", "score": whole}
        )
        for fill in ("zero", "blur"):
            scores = draw.normal(3, 1, 64).astype(np.float32).astype(float)
            scores[0], all_filled = whole, scores[63]
            for ranking in ("shapley", "control_random"):
                order = draw.permutation(6).tolist()
                gone = [sum(1 << b for b in order[:n]) for n in range(7)]
                for half, masks in (("deletion", gone[1:]), ("insertion", [63 ^ mask for mask in gone[1:6]])):
                    of_order = about | {"ranking": f"order_{ranking}", "zeroed_half": half, "fill": fill}
                    rows += [of_order | {"zeroed_blocks": m, "score": scores[m]} for m in masks]
                kept = scores[[63 ^ m for m in range(64)]]  # by the mask of what is left, as stored scores of subsets
                assert kept[63] == whole
                assert kept[0] == all_filled
                expected[image_id, fill, ranking] = [*areas(kept, order), *eraser(kept, order)]
    lost = next(n for n, row in enumerate(rows) if row["image_id"] == ids[0] and row["zeroed_half"] == "insertion")
    del rows[lost]
    planted_derived.write_zeroed(output, pa.Table.from_pylist(rows, schema.ZEROED), "koncept")
    run = find_run(str(output), "planted")
    images, resampling = read_images(run), Resampling(50, 1)
    models, filled = read_fills(str(output), run, images)
    statistics = build.make_run_tables(run, resampling=resampling, images=images)
    made = experiments.stored_score_tables(run, images, statistics, [], models, "level_plcc", resampling, filled=filled)
    found = {
        (row["fill"], row["kind"]): row
        for row in made["faithfulness"].to_pylist()
        if row["model"] == "koncept" and row["scope"] == "all"
    }
    assert len(found) == 4
    for fill in ("zero", "blur"):
        for ranking, kind in (("shapley", "rule"), ("control_random", "random")):
            row = found[fill, kind]
            there = [i for i in ids if not (i == ids[0] and (fill, ranking) == ("zero", "shapley"))]
            each = np.mean([expected[i, fill, ranking] for i in there], axis=0)
            for name, value in zip(("deletion", "insertion", *NAMES), each, strict=True):
                assert row[name] == pytest.approx(value, abs=1e-6)
            assert row["gap"] == pytest.approx(each[0] - each[1], abs=1e-6)
            assert row["n"] == len(there)
        less = [expected[i, fill, "shapley"][0] - expected[i, fill, "control_random"][0] for i in ids]
        less = less[1:] if fill == "zero" else less
        assert found[fill, "rule"]["deletion_less_random"] == pytest.approx(np.mean(less), abs=1e-6)
        assert found[fill, "random"]["deletion_less_random"] is None
    text = faithfulness_text.PAGE.console(made["faithfulness"])
    assert "koncept  zero (paper)  shapley" in text
    assert "triq     masked        random order" in text
    assert "nan" not in text + faithfulness_text.CURVES.markdown(made["faithfulness_curves"])
    assert not any("order_" in row["ranking"] for row in made_table1(output, run, images, models, resampling))


def made_table1(output, run, images, models, resampling):
    found = experiments.zeroing_tables(str(output), run, images, models, "level_plcc", resampling)
    return found["table1"].to_pylist()
