"""Agreement of rules, measures and models; positions; interactions."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from halfiqa_ray.masking.controls import centre_half
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import important_half
from halfiqa_ray.tables.beyond import blocks_text
from halfiqa_ray.tables.beyond.agreement import Weights, agreement, model_weights
from halfiqa_ray.tables.beyond.interactions import interactions
from halfiqa_ray.tables.beyond.positions import positions
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import Zeroed
from halfiqa_ray.tables.stored.reading import Images, Run

GRID = Grid(3, 4)
RESAMPLING = Resampling(100, 1)


def images_of(count, photos=None):
    names = tuple(f"{i:04d}.jpg" for i in range(count))
    photo = names if photos is None else tuple(f"p{i % photos}" for i in range(count))
    split = tuple("test" if i % 2 else "train" for i in range(count))
    scores = np.linspace(1, 5, count)
    return Images(names, split, photo, photos is not None, scores, scores, {}, ())


def run_of(grid=GRID):
    return Run("planted", "0123abcd", (), {"grid": {"rows": grid.rows, "columns": grid.columns}, "synthetic": True})


def weights(name, values):
    return Weights(name, values, important_half(values).astype(np.int64))


def test_agreement_is_scipys_mean_over_images_and_the_shared_part_of_the_halves():
    draw = np.random.default_rng(0)
    a = draw.random((40, 12))
    b = a + 0.5 * draw.random((40, 12))
    b[:5] = np.nan
    b[5:9] = 1.0  # flat: a half by index, and no rank correlation
    rows = agreement(run_of(), images_of(40), [weights("a", a)], [weights("b", b)], [], RESAMPLING).to_pylist()
    row = next(row for row in rows if row["scope"] == "all")
    assert (row["kind"], row["rule"], row["other"]) == ("measure", "a", "b")
    assert (row["n"], row["n_spearman"]) == (35, 31)
    expected = np.mean([spearmanr(x, y).statistic for x, y in zip(a[9:], b[9:], strict=True)])
    assert row["spearman"] == pytest.approx(expected)

    def high(values):
        return set(np.argsort(-values, kind="stable")[:6])

    overlap = np.mean([len(high(x) & high(y)) / 6 for x, y in zip(a[5:], b[5:], strict=True)])
    assert row["overlap"] == pytest.approx(overlap)
    assert row["overlap_chance"] == 0.5
    for name in ("spearman", "overlap"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert [r["scope"] for r in rows] == ["all", "train", "test"]


def test_the_same_opposite_and_unrelated_weights():
    values = np.random.default_rng(1).random((200, 12))
    others = [weights(n, v) for n, v in (("same", values), ("opposite", -values), ("other", values[::-1].copy()))]
    rows = agreement(run_of(), images_of(200), [weights("rule", values)], others, [], RESAMPLING).to_pylist()
    found = {row["other"]: row for row in rows if row["scope"] == "all"}
    assert (found["same"]["spearman"], found["same"]["overlap"]) == (pytest.approx(1), 1)
    assert (found["opposite"]["spearman"], found["opposite"]["overlap"]) == (pytest.approx(-1), 0)
    assert found["other"]["spearman_low"] < 0 < found["other"]["spearman_high"]
    assert found["other"]["overlap_low"] < 0.5 < found["other"]["overlap_high"]


def zeroed(change):
    nothing = np.full(len(change), np.nan)
    return Zeroed("dbcnn", "33334444", nothing, {}, change)


def test_a_models_own_importance_is_its_change_and_is_named_where_it_is_missing():
    rule = np.random.default_rng(2).random((30, 12))
    change = rule.copy()
    change[10:] = np.nan  # a sample of the images
    change[3, 4] = np.nan  # one block was not zeroed
    models = [
        model_weights("dbcnn", zeroed(change), 12, 30),
        model_weights("koncept", zeroed(np.full((30, 12), np.nan)), 12, 30),
        model_weights("swin_iqa", None, 12, 30),
    ]
    rows = agreement(run_of(), images_of(30), [weights("level_plcc", rule)], [], models, RESAMPLING)
    found = {row["other"]: row for row in rows.to_pylist() if row["scope"] == "all"}
    assert (found["dbcnn"]["n"], found["dbcnn"]["overlap"]) == (9, 1)
    for model in ("koncept", "swin_iqa"):
        assert (found[model]["n"], found[model]["spearman"], found[model]["overlap"]) == (0, None, None)
        assert "no scores with single blocks zeroed" in found[model]["note"]
    page = blocks_text.AGREEMENT.markdown(rows)
    assert "own zeroing importance" in page
    assert "SYNTHETIC DATA" in page
    assert "nan" not in page.replace("planted", "")


CENTRE = np.array([centre_half(GRID) >> block & 1 for block in range(12)])


def located(strength, preferred, count=200, seed=0):
    return np.random.default_rng(seed).random((count, 12)) + strength * preferred


@pytest.mark.parametrize(
    ("values", "answer", "words"),
    [
        (located(3, CENTRE), "mostly the centre", "mostly a centre bias"),
        (located(3, np.arange(12) < 6), "mostly position", "mostly position, though not the centre"),
        (located(0.2, CENTRE), "no", "not only a centre bias"),
        (located(0, CENTRE), "no position is preferred", "no centre bias"),
    ],
)
def test_the_table_answers_whether_importance_is_a_centre_bias(values, answer, words):
    found, bias = positions(run_of(), images_of(200), [weights("shapley", values)], "shapley", RESAMPLING)
    row = bias.to_pylist()[0]
    assert row["answer"] == answer
    assert words in blocks_text.bias_sentence(row)
    centre = CENTRE[np.argsort(-values, axis=1)[:, :6]].mean()
    assert row["in_centre"] == pytest.approx(centre)
    assert row["in_centre_low"] <= row["in_centre"] <= row["in_centre_high"]
    assert 0 <= row["explained_centre"] <= row["explained"] <= 1
    rows = [r for r in found.to_pylist() if r["scope"] == "all"]
    important = [r["important"] for r in rows]
    half = important_half(values)[:, None] >> np.arange(12) & 1
    assert important == pytest.approx(half.mean(0).tolist())
    assert sum(important) == pytest.approx(6)
    assert [r["centre"] for r in rows] == CENTRE.astype(bool).tolist()
    assert [(r["row"], r["column"]) for r in rows][5] == (1, 1)
    for page in (blocks_text.POSITIONS.markdown(found), blocks_text.BIAS.markdown(bias)):
        assert "nan" not in page.replace("planted", "")


def test_a_rule_without_importance_has_no_answer():
    nothing = Weights("level_plcc", np.full((20, 12), np.nan), np.zeros(20, np.int64), "no importance by level_plcc")
    found, bias = positions(run_of(), images_of(20), [nothing], "level_plcc", RESAMPLING)
    assert {row["answer"] for row in bias.to_pylist()} == {"no images"}
    assert {row["important"] for row in found.to_pylist()} == {None}
    assert "There is no importance to ask" in blocks_text.BIAS.console(bias)


def test_the_sentence_warns_of_few_photos():
    bias = positions(run_of(), images_of(60, 8), [weights("shapley", located(3, CENTRE, 60))], "shapley", RESAMPLING)[1]
    assert "Intervals from only 8 source photos." in blocks_text.bias_sentence(bias.to_pylist()[0])


def test_interactions_stand_with_their_pair_and_distance():
    """Blocks 0 and 5 (one step down, one across) interact; no other pair does."""
    pairs = [(a, b) for a in range(12) for b in range(a + 1, 12)]
    values = np.zeros((50, 66))
    planted = np.random.default_rng(1).normal(-0.3, 0.1, 50)
    values[:, pairs.index((0, 5))] = planted
    each, far = interactions(run_of(), images_of(50), values, RESAMPLING)
    for row in (row for row in each.to_pylist() if row["scope"] == "all"):
        if (row["first"], row["second"]) == (0, 5):
            assert row["mean"] == pytest.approx(planted.mean())
            assert row["magnitude"] == pytest.approx(np.abs(planted).mean())
            assert row["mean_low"] < row["mean"] < row["mean_high"] < 0
            assert row["distance"] == pytest.approx(np.sqrt(2))
        else:
            assert row["mean"] == 0
    rows = {round(row["distance"], 3): row for row in far.to_pylist() if row["scope"] == "all"}
    assert list(rows)[:3] == [1.0, 1.414, 2.0]
    assert [row["pairs"] for row in rows.values()][:2] == [17, 12]  # 9 across and 8 down; 2 diagonals of 6 squares
    assert sum(row["pairs"] for row in rows.values()) == 66
    assert rows[1.414]["mean"] == pytest.approx(planted.mean() / 12)
    assert rows[1.0]["mean"] == 0
    page = blocks_text.INTERACTION.markdown(each).split("### train")[0]
    assert page.count(f"{planted.mean():+.2g}") == 2  # symmetric
    assert "| 1.41 | 12 |" in blocks_text.DISTANCE.markdown(far)
