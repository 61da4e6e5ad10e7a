import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom

from halfiqa_ray.masking.controls import centre_half, other_images
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import table2_text
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import Measured
from halfiqa_ray.tables.stored.reading import find_run, read_images
from halfiqa_ray.tables.table2 import matched_run, table2, together
from tests.tables import planted

GRID = Grid(3, 4)


def ranked(output, count=150, grid=GRID, seed=0, photos=None, dataset="planted", **metadata):
    table, _ = planted.rows(count, grid, seed=seed, photos=photos)
    planted.write(output, table, grid=grid, dataset=dataset, **metadata)
    run = find_run(str(output), dataset)
    return run, read_images(run)


def random_half(count, grid=GRID, seed=5):
    picked = np.argsort(np.random.default_rng(seed).random((count, grid.blocks)), axis=1)[:, : grid.blocks // 2]
    return (1 << picked).sum(1)


def measure(name, high_N, tied=0):
    return Measured(name, np.zeros((len(high_N), 12)), high_N, np.arange(len(high_N)) < tied)


def shares(table, **wanted):
    rows = [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]
    return {row["threshold"]: row["share"] for row in rows}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run, images = ranked(tmp_path_factory.mktemp("planted"))
    half_N = images.halves["level_plcc"]
    measures = [
        measure("saliency", half_N, tied=4),
        measure("frequency_flat", GRID.full ^ half_N),
        measure("objectness_boundary_connectivity", random_half(150)),
    ]
    halves = dict(images.halves) | {"image_plcc": np.full(150, 63)}
    found = matched_run(run, images, halves, measures, "", 1)
    return run, images, found, *table2(found, "level_plcc", Resampling(50, 1))


def test_the_same_halves_match_at_every_threshold_and_opposite_ones_at_none(made):
    table = made[3]
    same = {"scope": "all", "rule": "level_plcc", "name": "saliency"}
    assert shares(table, **same, reading="n > T") == dict.fromkeys(range(1, 6), 1.0)
    opposite = same | {"name": "frequency_flat"}
    assert shares(table, **opposite, reading="n >= T") == dict.fromkeys(range(1, 6), 0.0)


def test_numbers_shares_and_intervals_are_counted_from_the_masks(made):
    _, images, _, table, histogram = made
    half_N, high_N = images.halves["shapley"], random_half(150)
    number_N = np.array([bin(a & b).count("1") for a, b in zip(half_N.tolist(), high_N.tolist(), strict=True)])
    for row in table.to_pylist():
        if (row["rule"], row["scope"], row["kind"]) != ("shapley", "all", "measure"):
            continue
        if not row["name"].startswith("objectness"):
            continue
        hits = number_N > row["threshold"] if row["reading"] == "n > T" else number_N >= row["threshold"]
        assert (row["n"], row["matched"], row["share"]) == (150, hits.sum(), pytest.approx(hits.mean()))
        expected = binomtest(int(hits.sum()), 150).proportion_ci(method="wilson")
        assert (row["share_low"], row["share_high"]) == pytest.approx((expected.low, expected.high))
    counted = [
        (row["images"], row["share"])
        for row in histogram.to_pylist()
        if (row["rule"], row["scope"]) == ("shapley", "all") and row["name"].startswith("objectness")
    ]
    assert counted == [(n, n / 150) for n in np.bincount(number_N, minlength=7)]


def test_controls_are_the_centre_and_another_images_half(made):
    _, images, _, table, _ = made
    half_N = images.halves["level_plcc"]
    others = other_images(images.image_id, images.photo, 1)
    for name, high_N in (("centre half", np.full(150, centre_half(GRID))), ("another image's half", half_N[others])):
        number_N = np.array([int(a & b).bit_count() for a, b in zip(half_N, high_N, strict=True)])
        found = shares(table, scope="all", rule="level_plcc", name=name, reading="n > T")
        assert found == {t: pytest.approx((number_N > t).mean()) for t in range(1, 6)}
    # A fixed half is every image's half: another image's is its own.
    fixed = shares(table, scope="all", rule="image_plcc", name="another image's half", reading="n > T")
    assert set(fixed.values()) == {1.0}


def test_chance_stands_in_every_row_and_random_halves_meet_it(made):
    for row in made[3].to_pylist():
        least = row["threshold"] + (row["reading"] == "n > T")
        assert row["chance"] == pytest.approx(hypergeom.sf(least - 1, 12, 6, 6))
        if row["name"].startswith("objectness") and row["scope"] == "all" and row["rule"] != "image_plcc":
            assert row["share"] == pytest.approx(row["chance"], abs=0.12)
    first = [row["chance"] for row in made[4].to_pylist()][:7]
    np.testing.assert_allclose(first, hypergeom.pmf(range(7), 12, 6, 6))


def test_what_was_not_measured_is_blank_and_named_and_ties_are_counted(made):
    rows = made[3].to_pylist()
    names = list(dict.fromkeys(row["name"] for row in rows))
    assert names == [
        *("saliency", "frequency_flat", "frequency_csf", "frequency_csf_whitened"),
        *("objectness_boundary_connectivity", "averaged", "centre half", "another image's half"),
    ]
    for row in rows:
        if row["name"] in ("frequency_csf", "averaged"):
            assert (row["n"], row["share"], row["share_low"], row["note"]) == (0, None, None, "not measured")
    assert {row["tied"] for row in rows if row["name"] == "saliency" and row["scope"] == "all"} == {4}
    assert {row["tied"] for row in rows if row["kind"] == "control"} == {None}


def test_a_name_that_is_not_the_papers_is_told_and_has_no_number_of_the_papers(made):
    for row in made[3].to_pylist():
        if row["name"] == "objectness_boundary_connectivity":
            assert row["papers_measure"] is False
            assert row["paper"] is None
            assert "not the paper's objectness" in row["note"]
        elif row["name"] == "saliency" and row["reading"] == "n > T":
            assert row["paper"] == pytest.approx([1, 0.96, 0.692, 0.524, 0.378][row["threshold"] - 1])
        assert row["minus_paper"] is None
    text = table2_text.PAGE.console(made[3])
    assert "KonIQ-10k and SPAQ together" in text
    assert "less the paper's" not in text


@pytest.mark.parametrize(("grid", "thresholds"), [(Grid(2, 2), [1]), (Grid(2, 4), [1, 2, 3]), (Grid(1, 5), [1])])
def test_thresholds_follow_the_number_of_blocks(tmp_path, grid, thresholds):
    run, images = ranked(tmp_path, 40, grid)
    measures = [measure("saliency", random_half(40, grid))]
    table, histogram = table2(matched_run(run, images, images.halves, measures, "", 1), "level_plcc", Resampling(20, 1))
    assert sorted({row["threshold"] for row in table.to_pylist()}) == thresholds
    assert {row["paper"] for row in table.to_pylist()} == {None}
    assert max(row["matching_number"] for row in histogram.to_pylist()) == grid.blocks // 2
    for page in (
        table2_text.PAGE.console(table),
        table2_text.PAGE.markdown(table),
        table2_text.HISTOGRAM.markdown(histogram),
    ):
        assert "paper:" not in page
        assert "nan" not in page.replace("planted", "")


def test_crops_widen_the_interval_and_one_photo_gives_none(tmp_path):
    for photos in (1, 9):
        run, images = ranked(tmp_path / str(photos), 100, photos=photos)
        # Whole photos match, or do not.
        of_photo = images.groups() < 4
        half_N = images.halves["level_plcc"]
        high_N = np.where(of_photo, half_N, GRID.full ^ half_N)
        found = matched_run(run, images, images.halves, [measure("saliency", high_N)], "", 1)
        row = next(
            row for row in table2(found, "level_plcc", Resampling(300, 1))[0].to_pylist() if row["name"] == "saliency"
        )
        if photos == 1:
            assert row["share_low"] is None
            assert "no interval from fewer than 8 source photos" in row["note"]
        else:
            wilson = binomtest(row["matched"], 100).proportion_ci(method="wilson")
            assert row["share_low"] < wilson.low
            assert row["share_high"] > wilson.high + 0.05
            assert "only 9 source photos" in row["note"]


def real(output, dataset, count, seed, measures, synthetic=False):
    run, images = ranked(output, count, seed=seed, dataset=dataset, layout=dataset, synthetic=synthetic)
    found = [measure(name, random_half(count, seed=seed)) for name in measures]
    return matched_run(run, images, images.halves, found, "", 1)


def test_data_sets_together_are_all_their_images(tmp_path):
    koniq = real(tmp_path, "koniq10k", 60, 1, ["saliency", "objectness_pixel"])
    spaq = real(tmp_path, "spaq", 90, 2, ["saliency"])
    both = together([koniq, spaq])
    made = [table2(one, "level_plcc", Resampling(20, 1))[0] for one in (koniq, spaq, both)]
    key = {"scope": "all", "rule": "level_plcc", "name": "saliency", "reading": "n > T"}
    a, b, pooled = (shares(table, **key) for table in made)
    assert pooled == {t: pytest.approx((60 * a[t] + 90 * b[t]) / 150) for t in a}
    rows = made[2].to_pylist()
    assert {(row["dataset"], row["scope"]) for row in rows} == {("koniq10k + spaq", "all")}
    for row in rows:
        if row["reading"] == "n > T" and row["name"] == "saliency":
            assert row["minus_paper"] == pytest.approx(row["share"] - row["paper"])
        if row["name"] == "objectness_pixel":
            assert row["n"] == 60
            assert row["note"] == "without spaq"
            assert row["minus_paper"] is None
    assert "objectness" not in {row["name"] for row in rows}
    # One of the two data sets is not what the paper's numbers are of.
    assert {row["minus_paper"] for row in made[0].to_pylist()} == {None}
    assert "saliency less the paper's" in table2_text.PAGE.console(made[2])


def test_made_up_data_are_never_compared_with_the_paper(tmp_path):
    runs = [real(tmp_path, name, 30, i, ["saliency"], synthetic=True) for i, name in enumerate(("koniq10k", "spaq"))]
    table = table2(together(runs), "level_plcc", Resampling(20, 1))[0]
    assert {row["minus_paper"] for row in table.to_pylist()} == {None}
    assert "SYNTHETIC DATA" in table2_text.PAGE.console(table)
    assert "SYNTHETIC DATA" in table2_text.PAGE.markdown(table)
