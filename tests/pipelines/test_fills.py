"""The zero job with another fill over Ray: from rows of before there were fills, resumed, and with a sample."""

import re
import shutil

import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.pipelines import rank, zero
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.pipelines.plans.zeroing import plan_zeroing
from tests.pipelines.small_data import PHOTOS, TRAIN, everything, settings_of

TESTED = PHOTOS - TRAIN - 1  # one of them is no photo


def zeroed_files(output):
    return storage.list_files(str(output / "zeroed"), ".parquet", recursive=True)


def test_another_fill_adds_its_rows_and_loses_none(together, tmp_path, capsys):
    pytest.importorskip("duckdb")
    from halfiqa_ray.queries.connection import connect

    output = tmp_path / "out"
    shutil.copytree(together, output)
    before = everything(output)
    for file in zeroed_files(output):  # as they were before there were fills
        rows = storage.read_table(file)
        facts = schema.metadata(rows.schema)
        facts.pop("schema_version")
        rows = rows.cast(schema.with_metadata(rows.schema, facts)).drop_columns(["fill"])
        storage.write_table(file, rows)
    settings = settings_of(output, zero={"fill": ["zero", "blur"]})
    capsys.readouterr()
    assert zero.run(settings) == 0
    said = capsys.readouterr().out
    assert "filled by 2 fills (zero, blur)" in said
    # Only what is missing: of 2 models 5 rankings' halves blurred, then the sixth ranking's.
    assert f"{TESTED * 2 * 10} forward passes at most" in said
    assert f"at most {TESTED * 2 * 2} forward passes" in said
    after = everything(output)
    assert after["rank"] == before["rank"]
    for run, rows in after["zeroed"].items():
        assert [row for row in rows if row["fill"] != "blur"] == before["zeroed"][run], "nothing is lost"
        blurred = {name_of(row): row["score"] for row in rows if row["fill"] == "blur"}
        zeroed = {name_of(row): row["score"] for row in before["zeroed"][run] if row["ranking"]}
        assert blurred.keys() == zeroed.keys()
        # Untrained models on small photos: now and then two scores are equal to the last digit.
        assert sum(blurred[name] != zeroed[name] for name in blurred) > len(blurred) / 2
    for file in zeroed_files(output):
        assert schema.metadata(storage.read_schema(file))["schema_version"] == 2

    # Some blurred rows are lost, as by a kill: only these are made again, and are the same.
    for file in zeroed_files(output):
        rows = storage.read_table(file)
        keep = [not (f == "blur" and i in ("7.png", "9.png")) for i, f in zip(*columns(rows), strict=True)]
        storage.write_table(file, rows.filter(pa.array(keep)))
    assert everything(output) != after
    assert zero.run(settings) == 0
    assert f"{2 * 2 * 10} forward passes at most" in capsys.readouterr().out
    assert everything(output) == after
    assert zero.run(settings_of(output)) == 0  # the paper's alone: all is there
    assert everything(output) == after
    with connect(str(output)) as connection:
        found = connection.sql("SELECT fill, count(*) FROM zeroed GROUP BY ALL ORDER BY ALL").fetchall()
    assert found == [("blur", TESTED * 2 * 12), ("none", TESTED * 2), ("zero", TESTED * 2 * 12)]


def test_along_orders_with_the_passes_said_before(together, tmp_path, capsys):
    output = tmp_path / "out"
    shutil.copytree(together, output)
    before = everything(output)["zeroed"]
    curves = {"curves": True, "rankings": ["shapley", "saliency", "control_centre"], "models": ["koncept"], "images": 4}
    capsys.readouterr()
    assert zero.run(settings_of(output, zero=curves)) == 0
    said = capsys.readouterr().out
    assert "along 3 orders (shapley, saliency, control_random): at most 33 passes a photo, in the second pass" in said
    zeroed = int(re.search(r"zeroing: (\d) photos, 1 models", said)[1])
    assert (
        f"second pass, along orders (shapley, saliency, control_random): {zeroed} images, at most {zeroed * 33}" in said
    )
    ranked = {row["image_id"]: row for rows in everything(output)["rank"].values() for row in rows}
    for run, rows in everything(output)["zeroed"].items():
        along = [row for row in rows if (row["ranking"] or "").startswith("order_")]
        assert [row for row in rows if row in before[run]] == before[run]
        assert len(along) == (33 * zeroed if "model=koncept" in run else 0)
        for row in along:
            if row["ranking"] == "order_shapley" and row["zeroed_half"] == "deletion":
                size = row["zeroed_blocks"].bit_count()
                values = np.abs(ranked[row["image_id"]]["shapley"])
                least_of_first = min(values[b] for b in range(6) if row["zeroed_blocks"] >> b & 1)
                rest = [values[b] for b in range(6) if not row["zeroed_blocks"] >> b & 1]
                assert size == 6 or least_of_first >= max(rest)
            if row["ranking"] == "order_control_random" and row["zeroed_blocks"].bit_count() == 3:
                halves = {
                    each["zeroed_half"]: each["zeroed_blocks"]
                    for each in rows
                    if (each["image_id"], each["ranking"]) == (row["image_id"], "control_random")
                }
                half = {"deletion": "important", "insertion": "trivial"}[row["zeroed_half"]]
                assert row["zeroed_blocks"] == halves[half]  # a random order begins with the random half
    after = everything(output)
    assert zero.run(settings_of(output, zero=curves)) == 0
    assert everything(output) == after
    assert rank.run(settings_of(output, rank={"bootstrap": 20, "tables": True}, zero={"models": ["koncept"]})) == 0
    table = storage.read_table(storage.join(str(output), "tables", "faithfulness.parquet")).to_pylist()
    found = {(row["model"], row["fill"], row["name"]): row["n"] for row in table if row["scope"] == "test"}
    assert found["koncept", "zero", "shapley"] == found["koncept", "zero", "random order"] == zeroed
    assert found["triq", "masked", "shapley"] == TESTED


def name_of(row):
    return row["image_id"], row["ranking"], row["zeroed_half"], row["zeroed_blocks"]


def columns(rows):
    return rows["image_id"].to_pylist(), rows["fill"].to_pylist()


def test_a_sample_of_the_images_and_a_fill_that_is_not_installed(fresh, monkeypatch):
    plan = make_plan(settings_of(fresh, zero={"images": 3, "fill": ["black", "black"]}))
    zeroed = plan_zeroing(plan, (), None)
    assert zeroed.fills == ("black",)
    chosen = zeroed.images["image_id"].to_pylist()
    assert len(chosen) == 3
    assert set(zeroed.images["split"].to_pylist()) == {"test"}
    more = plan_zeroing(make_plan(settings_of(fresh, zero={"images": 5})), (), None).images["image_id"].to_pylist()
    assert set(chosen) < set(more), "a larger sample holds the smaller one"
    other = plan_zeroing(make_plan(settings_of(fresh, zero={"images": 3}, seed=5)), (), None)
    assert other.images["image_id"].to_pylist() != chosen
    everyone = plan_zeroing(make_plan(settings_of(fresh)), (), None)
    assert everyone.images.num_rows == PHOTOS - TRAIN
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"zero\.fill has inpaint, which needs OpenCV"):
        plan_zeroing(make_plan(settings_of(fresh, zero={"fill": ["inpaint"]})), (), None)
