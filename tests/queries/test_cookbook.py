"""docs/cookbook.md stays true: its SQL and Python run, its answers are right on planted rows and on the demo."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from benchmarks.cookbook import COOKBOOK, QUESTION, answered
from halfiqa_ray.masking.controls import centre_half
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.queries.connection import connect
from halfiqa_ray.tables.stored.reading import vectors
from tests.queries import results
from tests.tables import planted_derived

GRID = Grid(3, 4)
TEXT = COOKBOOK.read_text()
DEMO = Path(__file__).parents[2] / "results" / "made_up"
PYTHON = re.findall(r"```python\n(.*?)\n```", TEXT, re.DOTALL)
# The questions below each heading.
QUESTIONS = {
    part.split("\n")[0]: [found["sql"] for found in QUESTION.finditer(part)]
    for part in re.split(r"^### ", TEXT, flags=re.M)
}
TOLERANCE = 6e-4  # SQL rounds to three digits


@pytest.fixture(scope="module")
def ask(planted_output):
    """Rows of the only, or of a numbered, query below a heading."""
    with connect(str(planted_output[0]), "all") as connection:

        def rows(heading, number=0):
            (found,) = [sql for title, sql in QUESTIONS.items() if heading in title]
            return connection.sql(found[number]).to_arrow_table().to_pylist()

        yield rows


@pytest.fixture(scope="module")
def stored(planted_output):
    """The planted rank rows of every data set as numpy arrays."""
    found = {}
    for dataset, table in planted_output[1].items():
        columns = {name: np.array(table[name].to_pylist()) for name in ("image_id", "split", "mos")}
        for name in (
            "score",
            "important_level_plcc",
            "important_shapley",
            "important_score_change",
            "important_banzhaf",
        ):
            columns[name] = table[name].to_numpy()
        columns |= {"scores": vectors(table["subset_scores"]), "importance": vectors(table["importance_level_plcc"])}
        half, every = columns["important_level_plcc"].astype(int), np.arange(table.num_rows)
        columns |= {"important": columns["scores"][every, half], "trivial": columns["scores"][every, GRID.full ^ half]}
        found[dataset] = columns
    return found


def close(value, expected):
    return value == pytest.approx(float(expected), abs=TOLERANCE)


def test_every_question_runs_and_has_its_answer_below_it(ask):
    asked = 0
    for heading, sqls in QUESTIONS.items():
        for number in range(len(sqls)):
            assert ask(heading, number) is not None
            asked += 1
    assert asked == TEXT.count("```sql") >= 11
    assert all(found["answer"] for found in QUESTION.finditer(TEXT))


def test_what_is_there(ask):
    assert [(r["dataset"], r["run"], r["photos"], r["with_mos"], r["synthetic"]) for r in ask("What is there")] == [
        (dataset, results.RUNS[dataset], count, count, True) for dataset, count in results.PHOTOS.items()
    ]


def test_which_photos_hang_most_on_one_half(ask, stored):
    found = ask("hang most on one half")
    for dataset, rows in stored.items():
        order = np.argsort(-np.abs(rows["trivial"] - rows["score"]))[:3]
        ours = [row for row in found if row["dataset"] == dataset]
        assert {row["image_id"] for row in ours} == set(rows["image_id"][order])
        for row in ours:
            (at,) = np.flatnonzero(rows["image_id"] == row["image_id"])
            assert row["whole"] == pytest.approx(rows["score"][at], abs=6e-3)
            assert row["important_half_alone"] == pytest.approx(rows["important"][at], abs=6e-3)
            assert row["trivial_half_alone"] == pytest.approx(rows["trivial"][at], abs=6e-3)


def test_how_well_one_half_predicts_the_whole(ask, stored):
    found = ask("predict the whole")
    assert [(row["dataset"], row["split"]) for row in found] == [(d, s) for d in stored for s in ("test", "train")]
    for row in found:
        rows = stored[row["dataset"]]
        there = rows["split"] == row["split"]
        assert row["photos"] == there.sum()
        for half in ("important", "trivial"):
            pair = rows[half][there].astype(float), rows["score"][there].astype(float)
            assert close(row[f"{half}_plcc"], pearsonr(*pair).statistic)
            assert close(row[f"{half}_srcc"], spearmanr(*pair).statistic)
        assert row["important_plcc"] > row["trivial_plcc"]  # as planted


def test_how_often_each_block_is_important(ask, stored):
    for row in ask("each block important"):
        half = stored[row["dataset"]]["important_level_plcc"].astype(int)
        share = ((half[:, None] >> np.arange(12)) & 1).mean(0).reshape(3, 4)
        assert row["share_by_column"] == pytest.approx(share[row["block_row"]], abs=6e-3)


def test_whether_two_rules_pick_the_same_half(ask, stored):
    found = ask("two rules pick the same half")
    for row in found:
        rows = stored[row["dataset"]]
        for name, one, other in (
            ("level_plcc_shapley", "level_plcc", "shapley"),
            ("level_plcc_score_change", "level_plcc", "score_change"),
            ("shapley_banzhaf", "shapley", "banzhaf"),
        ):
            both = rows[f"important_{one}"] & rows[f"important_{other}"]
            assert close(row[name], np.bitwise_count(both).mean() / 6)
    assert len(found) == 2


def test_which_photos_have_their_important_half_in_the_centre(ask, stored):
    found = ask("important half in the centre")
    for dataset, rows in stored.items():
        inside = np.bitwise_count(rows["important_level_plcc"].astype(int) & centre_half(GRID))
        ours = {row["blocks_in_centre"]: row for row in found if row["dataset"] == dataset}
        assert list(ours) == sorted(set(inside.tolist()), reverse=True)
        for blocks, row in ours.items():
            assert row["photos"] == (inside == blocks).sum()
            assert row["first_of_them"] == min(rows["image_id"][inside == blocks])


def test_which_three_blocks_alone_come_nearest(ask, stored):
    threes = np.flatnonzero(GRID.sizes() == 3)
    found = ask("three blocks alone")
    for row in found:
        rows = stored[row["dataset"]]
        distance = np.abs(rows["scores"][:, threes] - rows["score"][:, None])
        best, farthest = distance.min(1), distance.min(1).argmax()
        assert row["photos"] == len(best)
        assert row["median_distance"] == pytest.approx(np.median(best), abs=6e-5)
        assert row["largest_distance"] == pytest.approx(best.max(), abs=6e-4)
        assert row["median_in_std"] == pytest.approx(np.median(best) / rows["score"].std(), abs=6e-5)
        assert row["farthest_photo"] == rows["image_id"][farthest]
        assert GRID.as_mask(row["its_blocks"]) == threes[distance[farthest].argmin()]
    assert len(found) == 2


def test_where_saliency_and_importance_disagree_most(ask, stored):
    found = ask("saliency and importance disagree")
    for seed, (dataset, rows) in enumerate(stored.items()):
        saliency = planted_derived.means_of(results.rank_rows(dataset, seed)[1], GRID, 0.7, seed)
        agreement = np.array([spearmanr(a, b).statistic for a, b in zip(saliency, rows["importance"], strict=True)])
        ours = [row for row in found if row["dataset"] == dataset]
        assert [row["agreement"] for row in ours] == pytest.approx(sorted(agreement)[:3], abs=TOLERANCE)
        assert {row["image_id"] for row in ours} <= set(rows["image_id"][np.argsort(agreement)[:5]])
        assert close(ours[0]["mean_of_all"], agreement.mean())


def test_how_much_the_score_changes_with_the_number_of_masked_blocks(ask, stored):
    found = ask("number of masked blocks")
    assert len(found) == 2 * 13
    for row in found:
        rows = stored[row["dataset"]]
        change = np.abs(rows["scores"] - rows["score"][:, None])[:, GRID.sizes() == 12 - row["masked"]].ravel()
        assert row["subsets"] == len(change)
        for name, value in (
            ("mean", change.mean()),
            ("median", np.median(change)),
            ("percentile_95", np.quantile(change, 0.95)),
        ):
            assert close(row[name], value)


def test_table_one_by_hand(ask, stored):
    found = ask("Table I by hand")
    assert [(row["dataset"], row["model"]) for row in found] == [(d, m) for d in stored for m in sorted(results.MODELS)]
    for row in found:
        seed, rank = list(results.PHOTOS).index(row["dataset"]), stored[row["dataset"]]
        table = results.zeroed_rows(row["dataset"], seed, row["model"]).to_pylist()
        scores = {(r["image_id"], r["ranking"], r["zeroed_half"]): r["score"] for r in table}
        ids = [i for i, split in zip(rank["image_id"], rank["split"], strict=True) if split == "test"]
        mos = [float(rank["mos"][rank["image_id"] == i][0]) for i in ids]
        whole = [scores[i, None, "none"] for i in ids]
        assert row["photos"] == len(ids)
        assert close(row["test"], pearsonr(whole, mos).statistic)
        for half in ("important", "trivial"):
            zeroed = [scores[i, "level_plcc", half] for i in ids]
            assert close(row[f"{half}_predicted"], pearsonr(zeroed, whole).statistic)
            assert close(row[f"{half}_mos"], pearsonr(zeroed, mos).statistic)


def test_what_failed_and_why(ask):
    found = [(r["stage"], r["dataset"], r["error"], r["photos"], r["first_of_them"]) for r in ask("What failed")]
    assert found == [
        (stage, dataset, "unreadable_photo", count, "bad0.jpg")
        for stage, count in (("prepare", 1), ("rank", 3))
        for dataset in results.PHOTOS
    ]
    unfinished = ask("What failed", 1)
    assert [(row["job"], row["status"]) for row in unfinished] == [("zero", "failed: ValueError: no checkpoint")] * 2


def test_what_it_cost(ask):
    found = ask("What did it cost")
    assert [(row["dataset"], row["job"], row["images"]) for row in found] == [
        (dataset, "rank", count) for dataset, count in results.PHOTOS.items()
    ]
    assert {row["stage"] for row in ask("What did it cost", 1)} == {"score", "all"}


def test_every_question_runs_on_photos_without_scores(tmp_path):
    results.write(tmp_path, mos=False)
    with connect(str(tmp_path), "all") as connection:
        for heading, sqls in QUESTIONS.items():
            for sql in sqls:
                found = connection.sql(sql).to_arrow_table()
                if "Table I" in heading:
                    assert found["test"].null_count == found["important_mos"].null_count == found.num_rows == 4
                    assert found["important_predicted"].null_count == 0


@pytest.mark.parametrize("code", [c for c in PYTHON if "import ray" not in c], ids=lambda code: code.split()[1])
def test_its_python_runs(code, planted_output, stored, capsys):
    run(code, planted_output[0])
    test = sum((rows["split"] == "test").sum() for rows in stored.values())
    assert re.search(rf"\b{test} test photos|\({test}, 4096\)", capsys.readouterr().out)


def test_its_ray_runs(cluster, planted_output):
    (code,) = [code for code in PYTHON if "import ray" in code]
    lines: list[str] = []  # of the code alone: Ray prints its processes' messages to the same standard output
    run(code, planted_output[0], print=lambda *words: lines.append(" ".join(map(str, words))))
    assert sum(int(line.split()[0]) for line in lines) == 68
    assert lines[0].endswith("fixed_size_list<element: float>[4096]")


def run(code, output, **names):
    assert "results/made_up" in code
    exec(compile(code.replace("results/made_up", str(output)), "cookbook", "exec"), names)


def test_answers_are_written_anew_without_touching_the_rest(planted_output):
    """Twice is once; questions and words stay, and the answers become those of the output."""
    once = answered(TEXT, str(planted_output[0]))
    assert answered(once, str(planted_output[0])) == once
    assert QUESTION.sub("", once) == QUESTION.sub("", TEXT)
    assert [found["sql"] for found in QUESTION.finditer(once)] == [found["sql"] for found in QUESTION.finditer(TEXT)]
    assert "0123abcd" in once
    assert "koniq10k-demo" not in QUESTION.search(once)["answer"]


@pytest.mark.slow
def test_the_answers_are_those_of_the_demo():
    """Word for word, but for last digits, where results/made_up is of the runs that the answers name."""
    if not (DEMO / "rank").exists():
        pytest.skip("no results/made_up: make reproduce-demo writes it")
    again = list(QUESTION.finditer(answered(TEXT, str(DEMO))))
    printed = list(QUESTION.finditer(TEXT))
    for found, expected in zip(again, printed, strict=True):
        assert found["answer"].splitlines()[1].split() == expected["answer"].splitlines()[1].split()  # the columns
    runs = [re.findall(r"(\S+) +│ ([0-9a-f]{8}) ", found["answer"]) for found in (again[0], printed[0])]
    assert runs[1]
    if runs[0] != runs[1]:
        pytest.skip(f"results/made_up is of other runs ({runs[0]}): python -m benchmarks.cookbook results/made_up")
    for found, expected in zip(again, printed, strict=True):
        assert_alike(found["answer"], expected["answer"])


def assert_alike(found, expected):
    """The same words, and numbers within 0.002."""
    words, wanted = found.split(), expected.split()
    assert len(words) == len(wanted)
    for word, want in zip(words, wanted, strict=True):
        try:
            assert float(word.strip("[],")) == pytest.approx(float(want.strip("[],")), abs=2e-3)
        except ValueError:
            assert word == want
