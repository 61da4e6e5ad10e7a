"""Do halves carry over: numbers by loops over images, from planted rows."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.beyond import own_halves_text
from halfiqa_ray.tables.beyond.own_halves import own_halves
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import read_zeroed
from halfiqa_ray.tables.stored.reading import find_run, read_images
from halfiqa_ray.tables.table1 import kind_of
from tests.tables import planted, planted_derived

GRID, COUNT = Grid(2, 3), 60


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory):
    """triq was not asked for its own halves; koncept was, but for one image, and they are drawn at random."""
    output = tmp_path_factory.mktemp("own")
    table, half = planted.rows(COUNT, GRID, noise=0.15, share=0.8)
    planted.write(output, table, 3, grid=GRID)
    draw = np.random.default_rng(4)
    own = np.array([sum(1 << int(b) for b in draw.permutation(6)[:3]) for _ in half])
    rankings = ("level_plcc", "occlusion", "control_random")
    rows = planted_derived.zeroed(table, half, GRID, rankings, by={"occlusion": own}, noise=0.1, seed=2)
    lacking = rows["image_id"][0].as_py()
    keep = [row["image_id"] != lacking or row["ranking"] != "occlusion" for row in rows.to_pylist()]
    rows = rows.filter(pa.array(keep))
    planted_derived.write_zeroed(output, planted_derived.zeroed(table, half, GRID), "triq")
    planted_derived.write_zeroed(output, rows, "koncept")
    run = find_run(str(output), "planted")
    return rows.to_pylist(), run, read_images(run), str(output)


def test_every_number_by_a_loop_over_images(planted_run):
    rows, run, images, output = planted_run
    table = own_halves(run, images, read_zeroed(output, run, images), "level_plcc", Resampling(50, 1))
    assert {row["model"] for row in table.to_pylist()} == {"koncept"}
    [row] = [row for row in table.to_pylist() if row["scope"] == "test"]
    of = {(r["image_id"], r["ranking"], r["zeroed_half"]): r for r in rows}
    ids = sorted({r["image_id"] for r in rows if (r["image_id"], "occlusion", "important") in of})
    whole = [of[i, None, "none"]["score"] for i in ids]
    assert row["n"] == len(ids)
    for half in ("important", "trivial"):
        theirs, own = (
            pearsonr([of[i, ranking, half]["score"] for i in ids], whole).statistic
            for ranking in ("level_plcc", "occlusion")
        )
        assert row[half] == pytest.approx(theirs, abs=1e-9)
        assert row[f"own_{half}"] == pytest.approx(own, abs=1e-9)
        assert row[f"{half}_difference"] == pytest.approx(own - theirs, abs=1e-9)
        assert row[f"{half}_difference_low"] <= own - theirs <= row[f"{half}_difference_high"]
    both = [
        of[i, "level_plcc", "important"]["zeroed_blocks"] & of[i, "occlusion", "important"]["zeroed_blocks"]
        for i in ids
    ]
    assert row["shared"] == pytest.approx(np.mean([bin(mask).count("1") for mask in both]))
    assert row["shared_chance"] == 1.5
    assert "own" in own_halves_text.PAGE.console(table)
    assert kind_of("occlusion") == "own"


def test_a_run_without_own_halves_says_what_makes_them(planted_run):
    _, run, images, output = planted_run
    models = [model for model in read_zeroed(output, run, images) if model.model == "triq"]
    [row] = own_halves(run, images, models, "level_plcc", Resampling(50, 1)).to_pylist()
    assert row["n"] == 0
    assert "occlusion" in row["note"]
