"""Photos to explanations of two models' scores, without Ray."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from halfiqa_ray import schema
from halfiqa_ray.config import GridSettings, LimeSettings
from halfiqa_ray.explain.gradcam import grad_cam
from halfiqa_ray.explain.lime import lime
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means
from halfiqa_ray.models.checkpoints import load_checkpoint
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.explain import EXPLAIN_WORK, ExplainPhotos, explain_passes
from halfiqa_ray.stages.outputs import explain_output, maps_output
from halfiqa_ray.stages.score import KNOWN_HALVES, ScorePhotos
from halfiqa_ray.stages.zeroing import WORK
from tests.stages.test_subsets import write_checkpoint, write_photos
from tests.stages.test_zeroing import write_koncept

GRID, LIME = GridSettings(rows=2, columns=3), LimeSettings(segments=8, samples=12)
BOTH = ("grad_cam", "lime")
DECODE = Decode(64, 96, more=((64, 96), (80, 64)))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return write_checkpoint(root / "triq"), write_koncept(root / "koncept")


def stage_of(checkpoints, batch_size=1):
    torch.set_num_threads(1)
    models = [load_checkpoint(checkpoint)[0] for checkpoint in checkpoints]
    return ExplainPhotos(models, ["triq", "koncept"], GRID, LIME, 1, torch.device("cpu"), batch_size)


def asked(rows, methods=BOTH, models=(0, 1), mapped=False):
    work = [{"model": model, "method": method} for model in models for method in methods]
    rows = rows.append_column("explain", pa.array([work] * rows.num_rows, EXPLAIN_WORK))
    return rows.append_column("mapped", pa.array([mapped] * rows.num_rows))


def test_rows_hold_the_block_means_of_the_maps(checkpoints, tmp_path):
    rows = DECODE(asked(write_photos(tmp_path, 2)))
    table = stage_of(checkpoints)(rows)
    grid = Grid(2, 3)
    for number, checkpoint in enumerate(checkpoints):
        model, record = load_checkpoint(checkpoint)
        for i, pixels in pixels_of(rows, (record.preprocessing.height, record.preprocessing.width)):
            score, map_NHW = grad_cam(model, model.normalise(torch.from_numpy(pixels.copy())[None]))
            maps = {"grad_cam": map_NHW[0].numpy(), "lime": lime(model, pixels, f"{i}.png", LIME, 1)}
            mine = {row["method"]: row for row in table["explained"][i].as_py() if row["model"] == number}
            assert set(mine) == set(BOTH)
            for method, row in mine.items():
                assert row["score"] == pytest.approx(float(score), abs=1e-6)
                assert np.allclose(row["block_means"], block_means(np.abs(maps[method]), grid), rtol=1e-4)
                assert np.allclose(row["signed_means"], block_means(maps[method], grid), rtol=1e-4, atol=1e-9)
                high = [block for block in range(6) if row["high_blocks"] >> block & 1]
                assert len(high) == 3
                rest = [mean for block, mean in enumerate(row["block_means"]) if block not in high]
                assert min(row["block_means"][block] for block in high) >= max(rest)
    assert table["maps"].to_pylist() == [[], []]
    assert table["explain_error"].null_count == 2


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_row_does_not_depend_on_its_neighbours(checkpoints, tmp_path, batch_size):
    """Alone, shuffled and batched: bitwise equal on CPU."""
    rows = asked(write_photos(tmp_path, 4), mapped=True)
    stage = stage_of(checkpoints, batch_size)

    def found(some):
        return stage(DECODE(some)).select(["image_id", "explained", "maps"])

    together = found(rows)
    assert together.equals(pa.concat_tables([found(rows.slice(i, 1)) for i in range(4)]).combine_chunks())
    order = pa.array([2, 0, 3, 1])
    assert together.take(order).equals(found(rows.take(order)))


def test_only_what_is_asked_for(checkpoints, tmp_path):
    rows = write_photos(tmp_path, 3)
    work = [[{"model": 1, "method": "lime"}], [], [{"model": 0, "method": "grad_cam"}]]
    rows = rows.append_column("explain", pa.array(work, EXPLAIN_WORK)).append_column("mapped", pa.array([False] * 3))
    found = stage_of(checkpoints)(DECODE(rows))["explained"].to_pylist()
    assert [[(row["model"], row["method"]) for row in some] for some in found] == [[(1, "lime")], [], [(0, "grad_cam")]]
    assert [explain_passes(some, 12) for some in work] == [13, 0, 1]
    assert explain_passes([{"model": m, "method": method} for m in (0, 1) for method in BOTH], 12) == 26


def test_the_passes_are_as_many_as_announced(checkpoints, tmp_path):
    stage = stage_of(checkpoints)
    passes = []
    for model in stage.models:
        model.register_forward_hook(lambda module, given, out: passes.append(len(given[0])))
    stage(DECODE(asked(write_photos(tmp_path, 1))))
    assert passes == [1] * 26


def test_maps_are_small_and_whole_or_not_there(checkpoints, tmp_path):
    rows = DECODE(asked(write_photos(tmp_path, 2), mapped=True))
    maps = stage_of(checkpoints)(rows)["maps"].to_pylist()
    assert [[(m["name"], m["model"]) for m in some] for some in maps] == [
        [(method, model) for model in ("triq", "koncept") for method in BOTH]
    ] * 2
    assert {(m["model"], m["height"], m["width"]) for m in maps[0]} == {("triq", 64, 96), ("koncept", 80, 64)}
    assert all(m["minimum"] >= 0 for m in maps[0]), "absolute values"
    stage = stage_of(checkpoints)
    break_model(stage.models[1])
    broken = stage(rows)
    assert broken["maps"].to_pylist() == [[], []]


def break_model(model):
    bias = next(p for name, p in reversed(list(model.named_parameters())) if name.endswith("bias"))
    with torch.no_grad():
        bias.fill_(float("nan"))


def test_what_cannot_be_explained_is_an_error_and_the_rest_is_there(checkpoints, tmp_path):
    rows = write_photos(tmp_path, 2)
    (tmp_path / "1.png").write_bytes(b"not a photo")
    stage = stage_of(checkpoints)
    break_model(stage.models[1])
    table = stage(DECODE(asked(rows)))
    assert table["explain_error"].to_pylist() == ["explanation is not finite", None]  # the decoder has said the other
    assert "of koncept" in table["explain_message"][0].as_py()
    assert "0.png" in table["explain_message"][0].as_py()
    assert [{row["model"] for row in some} for some in table["explained"].to_pylist()] == [{0}, set()]


def test_halves_are_zeroed_in_the_pass_that_finds_them(checkpoints, tmp_path):
    """And go into the tables, each model's into its own."""
    rows = asked(write_photos(tmp_path, 2), mapped=True)
    zero = [{"model": m, "ranking": r, "fill": "zero"} for m in (0, 1) for r in (None, "lime_triq")]
    zero.append({"model": 1, "ranking": "grad_cam_koncept", "fill": "zero"})
    rows = rows.append_column("zero", pa.array([zero] * 2, WORK))
    rows = rows.append_column("halves", pa.nulls(2, KNOWN_HALVES))
    rows = rows.append_column("rank", pa.array([False] * 2)).append_column("measure", pa.array([False] * 2))
    scored = ScorePhotos(None, checkpoints, GRID, seed=1, threads=1, explain=LIME)(DECODE(rows))
    assert scored["error"].null_count == 2
    for found, zeroed in zip(scored["explained"].to_pylist(), scored["zeroed"].to_pylist(), strict=True):
        half = {(row["model"], row["method"]): row["high_blocks"] for row in found}
        masks = {(r["model"], r["ranking"], r["zeroed_half"]): r["zeroed_blocks"] for r in zeroed}
        assert masks == {
            **{(m, None, "none"): 0 for m in (0, 1)},
            **{(m, "lime_triq", "important"): half[0, "lime"] for m in (0, 1)},
            **{(m, "lime_triq", "trivial"): 63 ^ half[0, "lime"] for m in (0, 1)},
            (1, "grad_cam_koncept", "important"): half[1, "grad_cam"],
            (1, "grad_cam_koncept", "trivial"): 63 ^ half[1, "grad_cam"],
        }
    for number, model in enumerate(("triq", "koncept")):
        output = explain_output("folder", number, 6, {"model": model})
        stored = pa.table([output.rows(scored)[f.name].combine_chunks() for f in output.columns], schema=output.columns)
        assert stored.schema.remove_metadata().equals(schema.explain(6))
        assert stored["method"].to_pylist() == [*BOTH, *BOTH]
    output = maps_output("folder", {})
    stored = pa.table([output.rows(scored)[f.name].combine_chunks() for f in output.columns], schema=output.columns)
    assert stored.num_rows == 2 * 4
