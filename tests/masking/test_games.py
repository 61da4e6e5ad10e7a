import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapiq.game_theory.exact import ExactComputer

from halfiqa_ray.masking import games
from halfiqa_ray.masking.games import banzhaf, interaction, shapley


def shapiq_values(scores, blocks, index, order):
    """The same values from shapiq, asked with its boolean coalitions."""

    def game(coalitions):
        return scores[(np.asarray(coalitions).astype(int) << np.arange(blocks)).sum(1)]

    return ExactComputer(game, n_players=blocks)(index, order)


@pytest.mark.parametrize("blocks", [1, 2, 3, 5, 8])
def test_values_agree_with_shapiq(blocks):
    scores = 3 + np.random.default_rng(blocks).normal(size=(2, 1 << blocks))
    for ours, index in ((shapley, "SV"), (banzhaf, "BV")):
        found = ours(scores)
        for image in range(2):
            theirs = shapiq_values(scores[image], blocks, index, 1)
            np.testing.assert_allclose(found[image], [theirs[(b,)] for b in range(blocks)], atol=1e-9)


@pytest.mark.parametrize(("game", "index"), [("shapley", "SII"), ("banzhaf", "BII")])
@pytest.mark.parametrize("blocks", [2, 3, 6])
def test_interactions_agree_with_shapiq(game, index, blocks):
    scores = 50 * np.random.default_rng(blocks).normal(size=(2, 1 << blocks))
    found = interaction(scores, game)
    for image in range(2):
        theirs = shapiq_values(scores[image], blocks, index, 2)
        for a in range(blocks):
            assert found[image, a, a] == 0
            for b in range(a + 1, blocks):
                assert found[image, a, b] == found[image, b, a] == pytest.approx(theirs[(a, b)], abs=1e-9)


def test_twelve_blocks_agree_with_shapiq_from_float32_scores():
    scores = (3 + np.random.default_rng(0).normal(size=4096)).astype(np.float32)
    for ours, index in ((shapley, "SV"), (banzhaf, "BV")):
        theirs = shapiq_values(scores.astype(float), 12, index, 1)
        np.testing.assert_allclose(ours(scores[None])[0], [theirs[(b,)] for b in range(12)], atol=1e-6)
    theirs = shapiq_values(scores.astype(float), 12, "SII", 2)
    found = interaction(scores[None])[0]
    for a in range(12):
        for b in range(a + 1, 12):
            assert found[a, b] == pytest.approx(theirs[(a, b)], abs=1e-6)


@settings(deadline=None)
@given(arrays(np.float64, (2, 32), elements=st.floats(-100, 100, width=32)))
def test_shapley_values_add_up_to_what_all_blocks_bring(scores):
    np.testing.assert_allclose(shapley(scores).sum(1), scores[:, -1] - scores[:, 0], atol=1e-9)


@settings(deadline=None)
@given(arrays(np.float64, (1, 16), elements=st.floats(-100, 100, width=32)), st.permutations(range(4)))
def test_renaming_the_blocks_renames_the_values(scores, permutation):
    subsets = np.arange(16)
    renamed = sum((subsets >> new & 1) << old for new, old in enumerate(permutation))
    for values in (shapley, banzhaf):
        np.testing.assert_allclose(values(scores[:, renamed]), values(scores)[:, list(permutation)], atol=1e-9)
    expected = interaction(scores)[:, permutation][:, :, permutation]
    np.testing.assert_allclose(interaction(scores[:, renamed]), expected, atol=1e-9)


def test_an_additive_game_gives_back_its_terms_and_a_product_interacts():
    kept = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(float)
    terms = np.array([0.5, -1.0, 0, 2.0, 3.0, -0.25])
    scores = (3 + kept @ terms)[None]
    np.testing.assert_allclose(shapley(scores)[0], terms, atol=1e-12)
    np.testing.assert_allclose(banzhaf(scores)[0], terms, atol=1e-12)
    np.testing.assert_allclose(interaction(scores), 0, atol=1e-12)
    together = interaction(scores + 7 * kept[:, 1] * kept[:, 4])[0]
    assert together[1, 4] == pytest.approx(7)
    assert np.abs(together).sum() == pytest.approx(14)


def test_pairs_cut_into_several_matrices_give_the_same(monkeypatch):
    scores = np.random.default_rng(3).normal(size=(2, 64))
    whole = interaction(scores, "banzhaf")
    monkeypatch.setattr(games, "_CELLS", 64 * 4)
    np.testing.assert_allclose(interaction(scores, "banzhaf"), whole, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 12), (16,), (2, 1), (2, 0)])
def test_shapes_that_are_no_game_are_refused(shape):
    with pytest.raises(ValueError, match="2\\^blocks"):
        shapley(np.zeros(shape))
