"""Explaining over Ray: every table has its rows, halves are zeroed and compared, stopped runs are completed."""

import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.pipelines import aggregate, explain, zero
from halfiqa_ray.pipelines.plans.explaining import plan_explaining
from halfiqa_ray.pipelines.plans.measures import stored_measures
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.pipelines.plans.zeroing import plan_zeroing
from halfiqa_ray.stages.outputs import EXPLAIN_KEY, MAPS_KEY
from tests.pipelines.plans.test_zeroing import write_manifest
from tests.pipelines.small_data import BAD, PHOTOS, TRAIN, everything, settings_of, stored
from tests.pipelines.test_rank_killed import ROOT, run_and_kill
from tests.stages.test_subsets import write_checkpoint
from tests.stages.test_zeroing import write_koncept

TESTED = {f"{i}.png" for i in range(TRAIN, PHOTOS)} - {BAD}
SHOWN = "1.png"  # of the training photos: asked for by name
MEASURES = ("saliency", "frequency_csf_whitened", "objectness_boundary_connectivity", "averaged_boundary_connectivity")
COMPARED = {"level_plcc", "score_change", *MEASURES, "control_random", "control_centre", "control_other"}
COMPARED |= {"grad_cam_triq", "lime_triq"}


def explain_settings(output, samples=12, **changes):
    settings = {"images": 5, "maps": 2, "lime": {"segments": 8, "samples": samples}} | changes
    return settings_of(output, explain=settings, report={"images": [SHOWN]}, rank={"bootstrap": 20})


def all_of(output):
    tables = {"explain": EXPLAIN_KEY, "maps": MAPS_KEY}
    return everything(output) | {table: stored(output, table, key) for table, key in tables.items()}


@pytest.fixture(scope="module")
def explained(together):
    output = together.parent / "explained"
    shutil.copytree(together, output)
    assert aggregate.run(explain_settings(output)) == 0  # of the state before, as jobs/rank.py leaves it
    assert explain.run(explain_settings(output)) == 0
    return output


def test_every_output_has_its_rows(together, explained):
    found, before = all_of(explained), all_of(together)
    assert sorted(run.split("/")[2] for run in found["explain"]) == ["model=koncept", "model=triq"]
    halves = {}
    for run, rows in found["explain"].items():
        model = run.split("model=")[1].split("/")[0]
        images = {row["image_id"] for row in rows}
        assert len(images - {SHOWN}) == 5
        assert images - {SHOWN} < TESTED
        assert len(rows) == 6 * 2
        halves |= {(row["image_id"], f"{row['method']}_{model}"): row["high_blocks"] for row in rows}
        about = schema.metadata(storage.read_schema(storage.list_files(str(explained / run), ".parquet")[0]))
        assert about["run_key"][:8] in run
        assert about["model"] == model
        assert about["lime"] == {"segments": 8, "samples": 12, "fill": "zero"}
        assert about["synthetic"] is True
    compared = images - {SHOWN}
    for run, rows in found["zeroed"].items():
        model = run.split("model=")[1].split("/")[0]
        new = [row for row in rows if row not in before["zeroed"][run]]
        assert [row for row in rows if row in before["zeroed"][run]] == before["zeroed"][run], "nothing is lost"
        assert {row["image_id"] for row in new} == compared
        for image_id in compared:
            mine = [row for row in rows if row["image_id"] == image_id]
            own = {f"{method}_{model}" for method in schema.EXPLANATIONS}
            assert {row["ranking"] for row in mine} == COMPARED | own | {None}
            for row in mine:
                if row["zeroed_half"] == "important" and (half := halves.get((image_id, row["ranking"]))) is not None:
                    assert row["zeroed_blocks"] == half
    [[run, maps]] = found["maps"].items()
    assert {row["image_id"] for row in maps} >= {SHOWN}
    assert len({row["image_id"] for row in maps}) == 3
    assert len(maps) == 3 * (len(MEASURES) + 2 * 2)
    about = schema.metadata(storage.read_schema(storage.list_files(str(explained / run), ".parquet")[0]))
    assert about["rank_key"][:8] in next(iter(found["rank"]))
    assert about["measure_settings"]["saliency"] == {"recipe": "authors"}
    assert about["synthetic"] is True
    assert storage.list_files(str(explained / "errors" / "stage=explain"), ".parquet", recursive=True) == []


def test_blocks_are_filled_along_each_models_own_explanations(explained, tmp_path, capsys):
    output = tmp_path / "out"
    shutil.copytree(explained, output)
    before = everything(output)["zeroed"]
    curves = {"curves": True, "rankings": ["shapley"], "models": ["koncept", "triq"]}
    capsys.readouterr()
    assert zero.run(settings_of(output, zero=curves)) == 0
    said = capsys.readouterr().out
    own = [f"order_{method}_{model}" for model in ("koncept", "triq") for method in schema.EXPLANATIONS]
    # 2 models along shapley's and a random order, and 2 explanations of each in that one; 6 blocks.
    assert f"along 2 orders (shapley, control_random), and each model's own {' or '.join(own)}" in said
    assert f"at most {11 * (2 * 2 + 2 * 2)} passes a photo" in said
    means = {
        (row["image_id"], f"order_{row['method']}_{run.split('model=')[1].split('/')[0]}"): row["block_means"]
        for run, rows in all_of(output)["explain"].items()
        for row in rows
    }
    for run, rows in everything(output)["zeroed"].items():
        assert [row for row in rows if row in before[run]] == before[run]
        model = run.split("model=")[1].split("/")[0]
        along = [row for row in rows if row["ranking"] in own]
        images = {row["image_id"] for row in along}
        assert {row["ranking"] for row in along} == {f"order_{method}_{model}" for method in schema.EXPLANATIONS}
        assert len(images) == 5  # those explained that are zeroed too
        assert len(along) == 11 * 2 * 5
        for row in along:
            if row["zeroed_half"] == "deletion":
                taken = [bool(row["zeroed_blocks"] >> block & 1) for block in range(6)]
                value = means[row["image_id"], row["ranking"]]
                assert min(v for v, t in zip(value, taken, strict=True) if t) >= max(
                    (v for v, t in zip(value, taken, strict=True) if not t), default=0
                )
    after = everything(output)
    assert zero.run(settings_of(output, zero=curves)) == 0
    assert everything(output) == after
    assert aggregate.run(settings_of(output, rank={"bootstrap": 20})) == 0
    table = storage.read_table(storage.join(str(output), "tables", "faithfulness.parquet")).to_pylist()
    found = {(row["model"], row["fill"], row["name"]): row for row in table if row["scope"] == "test"}
    assert found["koncept", "zero", "lime_koncept"]["n"] == 5
    assert found["koncept", "zero", "lime_koncept"]["kind"] == "explanation"
    assert ("koncept", "zero", "lime_triq") not in found


def test_photos_that_are_explained_are_among_those_of_a_larger_sample_that_are_zeroed(explained):
    plan = make_plan(settings_of(explained, explain={"images": 3, "methods": ["grad_cam"]}, zero={"images": 5}))
    explaining = plan_explaining(plan, None)[0]
    zeroing = plan_zeroing(plan, explaining.models, None)
    assert len(explaining.image_ids) == 3
    assert explaining.image_ids < set(zeroing.images["image_id"].to_pylist())


def test_the_announced_passes_and_the_record(explained):
    [record] = [file for file in storage.list_files(str(explained / "runs"), ".json") if "/explain-" in file]
    facts = json.loads(storage.read_bytes(record))
    assert facts["status"] == "finished"
    assert facts["counts"] == {"in": 6, "out": 6, "failed": 0}
    # Two models on six photos; then saliency, frequency, objectness and three or four explanations of five of them.
    assert facts["planned"]["forward_passes"] == 6 * 2 * (1 + 12) + 5 * (2 * (3 + 2) + 2 * (3 + 4))
    assert facts["planned"]["explained_photos"] == 6


def test_the_table_is_written_and_told(explained):
    table = storage.read_table(str(explained / "tables" / "explanations.parquet"))
    rows = {(row["scope"], row["model"], row["ranking"]): row for row in table.to_pylist()}
    assert rows["test", "koncept", "lime_triq"]["n"] == 5
    assert rows["test", "koncept", "lime_koncept"]["kind"] == "own explanation"
    assert rows["test", "mean", "lime"]["models"] == 2
    assert "grad_cam_koncept" in (explained / "tables" / "explanations.md").read_text()
    agreement = storage.read_table(str(explained / "tables" / "agreement.parquet")).to_pylist()
    assert {row["n"] for row in agreement if row["kind"] == "explanation" and row["scope"] == "test"} == {5}


def test_stored_rows_alone_decide_the_tables(explained):
    """Explaining adds to the zeroed halves of Table I, which is written after: made again, no table changes."""
    before = tables_of(explained)
    assert {"table1.md", "table1.parquet", "averaged_measure.csv", "section2.md"} <= set(before)
    assert aggregate.run(explain_settings(explained)) == 0
    assert tables_of(explained) == before


def tables_of(output):
    files = sorted((output / "tables").iterdir())
    return {f.name: storage.read_table(str(f)) if f.suffix == ".parquet" else f.read_text() for f in files}


def test_images_that_are_not_zeroed_are_not_explained(explained):
    settings = explain_settings(explained, images=PHOTOS)
    for splits, asked in ((("train",), ()), ((), ("train",))):
        changed = {"zero": settings.zero.model_copy(update={"splits": splits})}
        changed["explain"] = settings.explain.model_copy(update={"splits": asked})
        plan = make_plan(settings.model_copy(update=changed))
        found, _ = plan_explaining(plan, stored_measures(plan))
        assert found.image_ids == {f"{i}.png" for i in range(TRAIN)}


def test_again_there_is_nothing_to_do(explained, tmp_path, capsys):
    output = tmp_path / "again"
    shutil.copytree(explained, output)
    before = all_of(output)
    assert explain.run(explain_settings(output)) == 0
    said = capsys.readouterr().out
    assert "6 images, 6 finished before, 0 to explain" in said
    assert "photos explained" not in said
    assert "second pass" not in said
    assert all_of(output) == before


def test_a_run_that_was_stopped_anywhere_is_completed(explained, tmp_path, capsys):
    """Images are missing from some outputs, as after a kill between two files: those rows come back, bit for bit."""
    output = tmp_path / "stopped"
    shutil.copytree(explained, output)
    expected = all_of(output)
    [[_, maps]] = expected["maps"].items()
    drawn = sorted({row["image_id"] for row in maps})
    first, second = sorted({row["image_id"] for rows in expected["explain"].values() for row in rows} - set(drawn))[:2]
    lost = {"/maps/": {drawn[0]}, "/explain/dataset=small/model=koncept/": {first, drawn[1]}}
    lost["/zeroed/dataset=small/model=triq/"] = {second}
    for file in storage.list_files(str(output), ".parquet", recursive=True):
        for part, ids in lost.items():
            if part in file:
                rows = storage.read_table(file)
                storage.write_table(file, rows.filter(pa.array([i not in ids for i in rows["image_id"].to_pylist()])))
    assert explain.run(explain_settings(output)) == 0
    assert "6 images, 2 finished before, 4 to explain" in capsys.readouterr().out
    assert all_of(output) == expected


def test_halves_of_an_older_explanation_are_replaced(explained, tmp_path, capsys):
    """Other LIME settings, another run: its halves take the place of the old ones; all other rows stay."""
    output = tmp_path / "other"
    shutil.copytree(explained, output)
    before = all_of(output)
    assert explain.run(explain_settings(output, samples=40)) == 0
    said = capsys.readouterr().out
    assert "zeroed halves of other explanations are discarded" in said
    after = all_of(output)
    assert len(after["explain"]) == 4
    for run, rows in after["zeroed"].items():
        kept, old = (
            [row for row in some if not str(row["ranking"]).startswith(schema.EXPLANATIONS)]
            for some in (rows, before["zeroed"][run])
        )
        assert kept == old
        assert len(rows) == len(before["zeroed"][run])
    halves = {
        (run.split("model=")[1].split("/")[0], row["image_id"], row["method"]): row["high_blocks"]
        for run, rows in after["explain"].items()
        if run not in before["explain"]
        for row in rows
    }
    for rows in after["zeroed"].values():
        for row in rows:
            if row["zeroed_half"] == "important" and str(row["ranking"]).startswith("lime_"):
                assert row["zeroed_blocks"] == halves[row["ranking"].removeprefix("lime_"), row["image_id"], "lime"]
    # The zero job does not know these rankings, and leaves them alone.
    assert zero.run(explain_settings(output)) == 0
    assert all_of(output)["zeroed"] == after["zeroed"]
    assert not any(row["ranking"] == schema.SINGLE_BLOCK for rows in after["zeroed"].values() for row in rows)


@pytest.mark.slow
def test_without_zeroing_and_measures_and_with_one_method(explained, tmp_path, capsys):
    output = tmp_path / "bare"
    shutil.copytree(explained, output)
    for folder in ("explain", "maps", "zeroed", "measures", "tables"):
        shutil.rmtree(output / folder)
    settings = explain_settings(output, zero=False, methods=["grad_cam"], models=["koncept"])
    assert explain.run(settings) == 0
    assert "run jobs/measure.py first" in capsys.readouterr().out
    found = all_of(output)
    [[run, rows]] = found["explain"].items()
    assert "model=koncept" in run
    assert {row["method"] for row in rows} == {"grad_cam"}
    [[_, maps]] = found["maps"].items()
    assert {(row["name"], row["model"]) for row in maps} == {("grad_cam", "koncept")}
    assert found["zeroed"] == {}
    assert not storage.exists(str(output / "tables" / "explanations.parquet"))


def test_what_cannot_be_explained_is_said(tmp_path, together):
    output = tmp_path / "out"
    write_checkpoint(output / "checkpoints" / "small" / "triq" / "default")
    other = write_koncept(output / "checkpoints" / "small" / "koncept" / "other", seed=9)
    write_koncept(output / "checkpoints" / "small" / "koncept" / "default")
    write_manifest(output, ["train", "test"])
    with pytest.raises(ValueError, match=r"has a rank row .* run jobs/rank\.py"):
        explain.run(explain_settings(output))
    with pytest.raises(ValueError, match=r"explain\.splits names nowhere"):
        explain.run(explain_settings(output, splits=["nowhere"]))
    with pytest.raises(ValueError, match="two checkpoints of koncept"):
        explain.run(explain_settings(output, models=["koncept", other]))
    plan = make_plan(explain_settings(together, models=[other]))
    explaining, zeroing = plan_explaining(plan, stored_measures(plan))
    assert [model.record.model.name for model in explaining.models] == ["koncept", "triq"]
    assert explaining.models[0].uri == other, "a named one takes the place of the default of its name"
    assert explaining.explained == (0,)
    assert zeroing.own == {"grad_cam_koncept": 0, "lime_koncept": 0}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_and_run_again_it_has_the_rows_of_an_undisturbed_run(together, explained, tmp_path):
    """kill -9 of the job with all its workers: with the first explanations, and in the second pass."""
    output = tmp_path / "killed"
    shutil.copytree(together, output)
    for file in storage.list_files(str(output / "zeroed"), ".parquet", recursive=True):
        rows = storage.read_table(file)
        keep = [ranking != "control_other" for ranking in rows["ranking"].to_pylist()]
        storage.write_table(file, rows.filter(pa.array(keep)))
    flags = [sys.executable, str(ROOT / "jobs" / "explain.py"), "--output", str(output), "--data.dataset", "small"]
    flags += ["--rank.grid.rows", "2", "--rank.grid.columns", "3", "--rank.rows_per_file", "24"]
    flags += ["--measure.frequency.whitening", "data_set", "--measure.frequency.sample", "5"]
    flags += ["--rank.bootstrap", "20", "--report.images", f"['{SHOWN}']"]
    flags += ["--compute.device", "cpu", "--compute.threads", "1", "--compute.actors", "1"]
    flags += ["--explain.images", "5", "--explain.maps", "2"]
    flags += ["--explain.lime.segments", "8", "--explain.lime.samples", "12"]

    def rows_in(table, ranking=None):
        files = storage.list_files(str(output / table), ".parquet", recursive=True)
        rows = [row for file in files for row in storage.read_table(file).to_pylist()]
        return sum(ranking is None or row["ranking"] == ranking for row in rows)

    for seen in (lambda: rows_in("explain"), lambda: rows_in("zeroed", "control_other")):
        run_and_kill(flags, seen)
        print({table: rows_in(table) for table in ("explain", "maps", "zeroed")})
    subprocess.run(flags, env=os.environ | {"RAY_AUTH_MODE": "disabled"}, check=True, timeout=250)
    found, expected = all_of(output), all_of(explained)
    compared = {row["image_id"] for rows in expected["explain"].values() for row in rows}
    for rows in expected["zeroed"].values():  # the rank job's own are of more images
        rows[:] = [row for row in rows if row["ranking"] != "control_other" or row["image_id"] in compared]
    assert found == expected
