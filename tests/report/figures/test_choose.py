import numpy as np
import pytest
from scipy.stats import spearmanr

from halfiqa_ray.report.figures.choose import read_halved
from halfiqa_ray.report.stored import Missing
from halfiqa_ray.tables.stored.reading import read_run
from tests.report import planted_report


def test_scores_of_both_halves_are_those_of_their_subsets(planted):
    output, run, _ = planted
    halved = read_halved(output, run, "level_plcc")
    for at, row in enumerate(read_run(output, run.dataset).to_pylist()):  # plain lookups, row by row
        half, scores = row["important_level_plcc"], row["subset_scores"]
        assert halved.images.image_id[at] == row["image_id"]
        assert halved.trivial_masked_N[at] == scores[half]
        assert halved.important_masked_N[at] == scores[63 ^ half]
        gap = abs(scores[63 ^ half] - row["score"]) - abs(scores[half] - row["score"])
        assert halved.gap_N[at] == pytest.approx(gap, abs=1e-6)
        assert halved.importance_NK[at].tolist() == row["importance_level_plcc"]


def test_the_first_are_of_different_photos_and_only_of_those_allowed(planted):
    output, run, _ = planted
    halved = read_halved(output, run, "level_plcc")
    chosen = halved.first(halved.gap_N, 5)
    photos = [halved.images.photo[at] for at in chosen]
    assert len(set(photos)) == 5
    gaps = halved.gap_N[chosen]
    assert (np.diff(gaps) <= 0).all()
    best_of_others = [gap for gap, photo in zip(halved.gap_N, halved.images.photo, strict=True) if photo not in photos]
    assert max(best_of_others) <= gaps.min()
    allowed = halved.images.image_id[3:5]
    assert {halved.images.image_id[at] for at in halved.first(halved.gap_N, 5, allowed)} <= set(allowed)
    assert len(halved.first(halved.gap_N, 99)) == 12
    assert halved.first(np.full(24, np.nan), 5) == []
    assert halved.named(["nothing", halved.images.image_id[7]]) == [7]


def test_rank_correlation_is_scipys(planted):
    output, run, _ = planted
    halved = read_halved(output, run, "banzhaf")
    means_NK = np.random.default_rng(0).integers(0, 4, halved.importance_NK.shape).astype(float)  # with ties
    means_NK[0] = np.nan
    means_NK[1] = 2.0
    found = halved.spearman(means_NK)
    assert np.isnan(found[:2]).all()
    for at in range(2, 24):
        assert found[at] == pytest.approx(spearmanr(halved.importance_NK[at], means_NK[at]).statistic)


def test_one_half_for_all_images_comes_from_its_table(planted, tmp_path):
    output, run, _ = planted
    halved = read_halved(output, run, "image_plcc")
    assert halved.rule == "image_plcc"
    assert len(set(halved.half_N.tolist())) == 1
    assert (halved.importance_NK == halved.importance_NK[0]).all()
    top = np.argsort(-halved.importance_NK[0])[:3]
    assert halved.half_N[0] == sum(1 << int(block) for block in top)
    planted_report.plant(tmp_path, levels=False)
    with pytest.raises(Missing, match="dataset_importance"):
        read_halved(str(tmp_path), run, "image_plcc")
