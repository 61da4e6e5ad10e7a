import numpy as np
import pyarrow.parquet as pq
import pytest

from halfiqa_ray.config import Settings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.pipelines import aggregate
from halfiqa_ray.tables.experiments import PAGES
from halfiqa_ray.tables.stored.reading import find_run
from tests.tables import planted

SMALL = Grid(2, 2)


def settings_of(output, **rank):
    return Settings(output=str(output), data={"dataset": "planted"}, rank={"bootstrap": 50} | rank)


def test_ray_tasks_make_the_same_tables_as_this_process(cluster, tmp_path, monkeypatch):
    table, _ = planted.rows(90, SMALL, photos=9, noise=0.3)
    for name in ("here", "tasks"):
        planted.write(tmp_path / name, table, 5, grid=SMALL)
    here = aggregate.make_tables(settings_of(tmp_path / "here"))
    monkeypatch.setattr(aggregate, "SMALL_BYTES", 0)
    tasks = aggregate.make_tables(settings_of(tmp_path / "tasks"))
    assert here.replace("/here/", "/tasks/") == tasks
    for name in ("subset_statistics", "dataset_importance", "section2", *PAGES):
        ours, theirs = (pq.read_table(tmp_path / n / "tables" / f"{name}.parquet") for n in ("here", "tasks"))
        for a, b in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
            for column in a:
                if isinstance(a[column], float):
                    assert a[column] == pytest.approx(b[column], abs=1e-12)
                elif column != "note":  # it names the output's folder
                    assert a[column] == b[column]


def test_a_failing_task_says_which_file(cluster, tmp_path, monkeypatch):
    table, _ = planted.rows(20, SMALL)
    planted.write(tmp_path, table, 2, grid=Grid(2, 3))  # metadata of another grid
    monkeypatch.setattr(aggregate, "SMALL_BYTES", 0)
    with pytest.raises(ValueError, match=r"part-0.parquet holds 16 scores an image, but 2 x 3 blocks have 64"):
        aggregate.make_tables(settings_of(tmp_path))


def test_the_settings_choose_rule_resamples_and_run(tmp_path):
    table, _ = planted.rows(20, SMALL)
    planted.write(tmp_path, table, key="aaaaaaaa", grid=SMALL)
    planted.write(tmp_path, table, key="bbbbbbbb", grid=SMALL, created="2027-01-01T00:00:00+00:00")
    text = aggregate.make_tables(settings_of(tmp_path, rule="image_plcc", bootstrap=37), "aaaaaaaa" + "f" * 56)
    assert "run aaaaaaaa" in text
    assert "image_plcc (default rule)" in text
    assert "37 resamples" in text


def test_localisation_of_a_run_beside_an_untrained_one(tmp_path):
    table, half = planted.rows(40, noise=0.02, photos=12)
    planted.write(tmp_path, table)
    control, _ = planted.rows(40, noise=0.02, seed=9, photos=12)
    control = control.set_column(0, control.schema.field(0), table["image_id"])
    planted.write(tmp_path / "untrained", control)
    lines = ["image_name,damaged_blocks"]
    lines += [f"{i.rsplit('/')[-1]},{mask}" for i, mask in zip(table["image_id"].to_pylist(), half, strict=True)]
    (tmp_path / "damage.csv").write_text("\n".join(lines))
    untrained = find_run(str(tmp_path / "untrained"), "planted")
    text = aggregate.make_localisation(settings_of(tmp_path), str(tmp_path / "damage.csv"), None, untrained)
    assert "in 40 of 40 images of 12 source photos" in text
    assert "the blocks found are the damaged ones" in text
    stored = pq.read_table(tmp_path / "tables" / "localisation.parquet").to_pylist()
    found = {(row["model"], row["scope"], row["rule"]): row["finds"] for row in stored}
    assert found["trained", "all", "level_plcc"] == "damaged"
    assert np.all([found["untrained", scope, "level_plcc"] == "neither" for scope in ("all", "test")])
