"""Which models, rankings and images are zeroed, and under which keys; without Ray."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray import schema, storage
from halfiqa_ray.config import GridSettings, LimeSettings, MeasureSettings, RankSettings, Settings, fingerprint
from halfiqa_ray.data.manifest import folder
from halfiqa_ray.models.checkpoints import CheckpointError, read_record
from halfiqa_ray.pipelines.plans.checkpoints import find_checkpoints
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.pipelines.plans.zeroing import other_halves, plan_zeroing
from halfiqa_ray.stages.keys import explain_key, measures_key, run_key, zeroed_key
from tests.stages.test_subsets import write_checkpoint
from tests.stages.test_zeroing import write_koncept


def write_manifest(output, splits, dataset="small"):
    count = len(splits)
    columns = {f.name: pa.nulls(count, f.type) for f in schema.MANIFEST}
    columns |= {
        "image_id": pa.array([f"{i}.png" for i in range(count)]),
        "uri": pa.array([f"/nowhere/{i}.png" for i in range(count)]),
        "split": pa.array(splits, pa.string()),
    }
    about = {"dataset": dataset, "synthetic": False}
    table = pa.table(columns, schema=schema.with_metadata(schema.MANIFEST, about))
    storage.write_table(storage.join(folder(str(output), dataset), "manifest.parquet"), table)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    root = tmp_path_factory.mktemp("zeroing")
    checkpoints = root / "checkpoints" / "small"
    write_checkpoint(checkpoints / "triq" / "default")
    write_koncept(checkpoints / "koncept" / "default")
    write_koncept(checkpoints / "koncept" / "other", seed=9)
    write_checkpoint(checkpoints / "triq" / "scalar", output="score")
    write_manifest(root, ["train", "test", "test_same_photo", "validation", None])
    return root


def plan_of(output, zero=(), **sections):
    sections = {"rank": {"grid": {"rows": 2, "columns": 3}} | sections.pop("rank", {})} | sections
    return make_plan(Settings(output=str(output), data={"dataset": "small"}, zero=dict(zero), **sections))


def test_every_model_of_the_data_set_and_run(output):
    found = find_checkpoints(plan_of(output))
    assert [m.record.model.name for m in found] == ["koncept", "triq"]
    assert found[0].uri == str(output / "checkpoints" / "small" / "koncept" / "default")
    assert [m.record.model.name for m in find_checkpoints(plan_of(output, train={"run": "scalar"}))] == ["triq"]


def test_the_ranking_model_is_there_wherever_it_lies(output, tmp_path):
    elsewhere = write_checkpoint(tmp_path / "elsewhere", height=96)
    found = find_checkpoints(plan_of(output, rank={"checkpoint": elsewhere}))
    assert [(m.record.model.name, m.uri == elsewhere) for m in found] == [("koncept", False), ("triq", True)]


def test_named_models_and_folders(output):
    other = str(output / "checkpoints" / "small" / "koncept" / "other")
    assert find_checkpoints(plan_of(output), ["triq", other])[0].uri == other
    with pytest.raises(CheckpointError, match="swin_iqa"):
        find_checkpoints(plan_of(output), ["swin_iqa"])


def test_default_splits_and_rankings(output):
    zero = plan_zeroing(plan_of(output), (), None)
    assert zero.images["split"].to_pylist() == ["test", "test_same_photo"]
    assert zero.rankings == ("level_plcc", "score_change", "control_random", "control_centre")
    assert zero.after == ("control_other",)
    assert "jobs/measure.py" in zero.notes[0]


def test_without_test_splits_all_images(tmp_path):
    write_checkpoint(tmp_path / "checkpoints" / "small" / "triq" / "default")
    write_manifest(tmp_path, [None, None])
    assert plan_zeroing(plan_of(tmp_path), (), None).images.num_rows == 2


def test_what_cannot_be_ranked_by_is_said(output):
    with pytest.raises(ValueError, match="saliencey; there are level_plcc"):
        plan_zeroing(plan_of(output, {"rankings": ["saliencey"]}), (), None)
    with pytest.raises(ValueError, match=r"zero\.splits names nowhere"):
        plan_zeroing(plan_of(output, {"splits": ["nowhere"]}), (), None)
    scalar = plan_zeroing(plan_of(output, train={"run": "scalar"}), (), None)
    assert scalar.rankings == ("score_change", "control_random", "control_centre")
    assert scalar.after == ()
    assert any("level_plcc" in note for note in scalar.notes)
    assert any("control_other" in note for note in scalar.notes)


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 8), st.sets(st.integers(0, 29)))
def test_another_images_half(seed, count, photos, without):
    """Of the same split and another photo; failures and other splits do not change the rest."""
    ids = [f"{i}.png" for i in range(count)]
    photo = [f"p{i % photos}" for i in range(count)]
    split = ["test" if i % 2 else "more" for i in range(count)]
    images = pa.table({"image_id": ids, "source_photo": photo, "split": split})
    halves = {image_id: number for number, image_id in enumerate(ids) if number not in without}
    found = other_halves(images, halves, seed)
    for image_id, half in found.items():
        here = ids.index(image_id)
        assert half in halves.values()  # halves are numbered like the images here
        assert split[half] == split[here]
        assert photo[half] != photo[here]
    for number, image_id in enumerate(ids):
        could = [
            o for o in range(count) if o not in without and split[o] == split[number] and photo[o] != photo[number]
        ]
        assert (image_id in found) == bool(could)
    one = images.filter(pa.array([s == "test" for s in split]))
    assert other_halves(one, halves, seed) == {i: h for i, h in found.items() if split[ids.index(i)] == "test"}


def test_keys_hang_on_what_decides_the_numbers(output):
    record = read_record(str(output / "checkpoints" / "small" / "triq" / "default"))
    other = read_record(str(output / "checkpoints" / "small" / "koncept" / "default"))
    rank, measure = RankSettings(), MeasureSettings()
    measured = [
        measures_key(record, rank, measure, None, [1.0], 1),
        measures_key(other, rank, measure, None, [1.0], 1),  # another input size
        measures_key(record, RankSettings(grid=GridSettings(rows=2)), measure, None, [1.0], 1),
        measures_key(record, RankSettings(portrait="rotate"), measure, None, [1.0], 1),
        measures_key(record, RankSettings(native=True), measure, None, [1.0], 1),
        measures_key(record, rank, MeasureSettings(saliency={"recipe": "opencv"}), None, [1.0], 1),
        measures_key(record, rank, MeasureSettings(frequency={"combination": "csf"}), None, [1.0], 1),
        measures_key(record, rank, measure, "ab", [1.0], 1),
        measures_key(record, rank, measure, None, [1.5], 1),
        measures_key(record, rank, measure, None, [1.0], 2),
    ]
    assert len(set(measured)) == len(measured)
    # Which network ranks does not matter to the measures, nor how many images are done at a time.
    better = record.model_copy(update={"weights_sha256": "0"})
    assert measures_key(better, RankSettings(limit=3), measure, None, [1.0], 1) == measured[0]
    zeroed = [
        zeroed_key(record, "r", "m", 1),
        *(zeroed_key(other, "r", "m", 1), zeroed_key(better, "r", "m", 1), zeroed_key(record, "q", "m", 1)),
        *(zeroed_key(record, "r", "m", 1, precision) for precision in ("bfloat16", "float16")),
        *(zeroed_key(record, "r", None, 1), zeroed_key(record, "r", "n", 1), zeroed_key(record, "r", "m", 2)),
    ]
    assert len(set(zeroed)) == len(zeroed)
    assert run_key(record, rank) == run_key(record, RankSettings(measure=False, zero=False))


def test_explanations_of_before_there_were_fills_keep_their_key(output):
    record = read_record(str(output / "checkpoints" / "small" / "triq" / "default"))
    size = record.preprocessing
    before = {
        "version": 1,
        "weights": record.weights_sha256,
        "preprocessing": [size.height, size.width, list(size.mean), list(size.std)],
        "grid": [3, 4],
        "portrait": "resize",
        "lime": {"segments": 50, "samples": 500},
        "seed": 1,
    }
    assert explain_key(record, RankSettings(), LimeSettings(), 1) == fingerprint(before)
    assert explain_key(record, RankSettings(), LimeSettings(fill="black"), 1) != fingerprint(before)
