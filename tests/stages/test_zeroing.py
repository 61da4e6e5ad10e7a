"""Photos with halves zeroed, scored by several models, without Ray."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from halfiqa_ray import schema
from halfiqa_ray.config import GridSettings
from halfiqa_ray.masking.fills import fill_blocks
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import CheckpointRecord, load_checkpoint, save_checkpoint
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.zeroing import ORDERS, WORK, ScoreZeroed, variants
from tests.models.small import KONIQ, model_settings, train_settings
from tests.stages.test_subsets import write_checkpoint, write_photos

GRID, FULL = GridSettings(rows=2, columns=3), 63


def write_koncept(folder, seed=3):
    """An untrained small KonCept at another input size than the small TRIQ (80 x 64)."""
    torch.manual_seed(seed)
    settings = model_settings(
        name="koncept", height=80, width=64, output="score", koncept={"hidden": (8,), "dropout": (0.1,)}
    )
    model = build_model(settings, KONIQ)
    nothing = {"train": train_settings(), "seed": 0, "stage": "fit", "epoch": 1, "split_hash": "0"}
    record = CheckpointRecord(
        dataset="demo",
        synthetic=False,
        mos_scale=KONIQ,
        model=settings,
        preprocessing=model.preprocessing,
        run="r",
        metrics={},
        versions={},
        **nothing,
    )
    save_checkpoint(str(folder), model, record)
    return str(folder)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return write_checkpoint(root / "triq"), write_koncept(root / "koncept")


def asked(rows, rankings, models=(0, 1), fills=("zero",)):
    work = [{"model": m, "ranking": r, "fill": f} for m in models for r in rankings for f in (fills if r else ["none"])]
    return rows.append_column("zero", pa.array([work] * rows.num_rows, WORK))


DECODE = Decode(64, 96, more=((64, 96), (80, 64)))
HALVES = {"a": 0b000111, "b": 0b010101, "c": 0b111000}  # c is a turned round


def test_scores_are_those_of_images_zeroed_by_hand(checkpoints, tmp_path):
    rows = DECODE(asked(write_photos(tmp_path, 3), [None, "a", "b"]))
    found = ScoreZeroed(checkpoints, GRID, threads=1)(rows, [HALVES] * 3)
    for number, checkpoint in enumerate(checkpoints):
        model, record = load_checkpoint(checkpoint)
        size = record.preprocessing.height, record.preprocessing.width
        cells = Grid(2, 3).cells(*size)
        for i, pixels in pixels_of(rows, size):
            mine = [row for row in found[i].rows if row["model"] == number]
            assert [(row["ranking"], row["zeroed_half"], row["zeroed_blocks"]) for row in mine] == [
                (None, "none", 0),
                *(("a", "important", 7), ("a", "trivial", 56), ("b", "important", 21), ("b", "trivial", 42)),
            ]
            for row in mine:
                image = model.normalise(torch.from_numpy(pixels.copy())[None])
                zeroed = torch.from_numpy(np.isin(cells, [b for b in range(6) if row["zeroed_blocks"] >> b & 1]))
                image[:, :, zeroed] = 0
                with torch.inference_mode():
                    assert row["score"] == pytest.approx(model(image).score_N.item(), abs=1e-6)
    scores = np.array([[row["score"] for row in each.rows] for each in found])
    assert np.ptp(scores, axis=1).min() > 1e-5  # zeroing does something to these models


def test_equal_masks_are_run_once(checkpoints, tmp_path, monkeypatch):
    """a and c are the same split: 1 (as it is) + 2 (a, c) + 2 (b) passes an image and model."""
    rows = DECODE(asked(write_photos(tmp_path, 4), [None, "a", "b", "c"]))
    stage = ScoreZeroed(checkpoints, GRID, threads=1)
    calls = []
    for model in stage.models:
        model.register_forward_hook(lambda module, given, out: calls.append((id(module), len(given[0]))))
    found = stage(rows, [HALVES] * 4)
    assert len(calls) == 4 * 2 * 5
    assert {size for _, size in calls} == {1}
    by = {(row["model"], row["ranking"], row["zeroed_half"]): row["score"] for row in found[2].rows}
    assert len(by) == 14
    assert by[1, "a", "important"] == by[1, "c", "trivial"]


def test_a_row_does_not_depend_on_its_neighbours(checkpoints, tmp_path):
    """Alone, shuffled and batched: bitwise equal on CPU."""
    rows = asked(write_photos(tmp_path, 5), [None, "a", "b"])
    halves = [HALVES | {"b": half} for half in (7, 21, 13, 52, 38)]
    for batch_size in (1, 4):
        stage = ScoreZeroed(checkpoints, GRID, batch_size=batch_size, threads=1)
        together = stage(DECODE(rows), halves)
        alone = [stage(DECODE(rows.slice(i, 1)), halves[i : i + 1])[0] for i in range(5)]
        assert together == alone
        order = [3, 0, 4, 2, 1]
        assert [together[i] for i in order] == stage(DECODE(rows.take(pa.array(order))), [halves[i] for i in order])


def test_only_what_is_asked_for(checkpoints, tmp_path):
    rows = write_photos(tmp_path, 2)
    work = pa.array([[{"model": 1, "ranking": "b", "fill": "zero"}], []], WORK)
    found = ScoreZeroed(checkpoints, GRID, threads=1)(DECODE(rows.append_column("zero", work)), [HALVES] * 2)
    assert [(row["model"], row["zeroed_half"]) for row in found[0].rows] == [(1, "important"), (1, "trivial")]
    assert found[1].rows == []


def test_what_cannot_be_scored_is_an_error_and_the_rest_is_there(checkpoints, tmp_path):
    rows = write_photos(tmp_path, 3)
    (tmp_path / "1.png").write_bytes(b"not a photo")
    stage = ScoreZeroed(checkpoints, GRID, threads=1)
    bias = next(p for name, p in reversed(list(stage.models[1].named_parameters())) if name.endswith("bias"))
    with torch.no_grad():
        bias.fill_(float("nan"))
    found = stage(DECODE(asked(rows, [None, "a", "lost"])), [HALVES] * 3)
    assert found[1].rows == []
    assert found[1].error is None  # the decoder has said it
    assert {row["model"] for row in found[0].rows} == {0}
    assert found[0].error == "zeroed score is not finite"
    assert "koncept" in found[0].message
    assert "0.png" in found[0].message
    good = ScoreZeroed(checkpoints, GRID, threads=1)(DECODE(asked(rows, [None, "lost"])), [HALVES] * 3)
    assert good[0].error == "no half"
    assert "lost" in good[0].message
    assert len(good[0].rows) == 2


def test_every_kind_of_model_is_taken(checkpoints):
    stage = ScoreZeroed(checkpoints, GRID)
    assert stage.names == ["triq", "koncept"]
    assert all(isinstance(model, QualityModel) for model in stage.models)


def test_each_single_block(checkpoints, tmp_path):
    rows = DECODE(asked(write_photos(tmp_path, 1), [None, schema.SINGLE_BLOCK], models=[0]))
    [found] = ScoreZeroed(checkpoints, GRID, threads=1)(rows, [{}])
    assert found.error is None
    assert [row["zeroed_blocks"] for row in found.rows] == [0, 1, 2, 4, 8, 16, 32]
    assert {row["zeroed_half"] for row in found.rows[1:]} == {"important"}
    assert variants(rows["zero"][0].as_py(), 6) == 7
    assert variants([{"ranking": "a"}, {"ranking": None}], 6) == 3


def test_filled_scores_are_those_of_photos_filled_by_hand(checkpoints, tmp_path):
    """Every fill in one call, over full and padded batches; the rows of zero are those of a run of zero alone."""
    fills = ("zero", "photo_mean", "blur", "inpaint", "black")
    rows = asked(write_photos(tmp_path, 3), [None, "a", "b"], fills=fills)
    for batch_size in (1, 4):
        stage = ScoreZeroed(checkpoints, GRID, threads=1, batch_size=batch_size)
        found = stage(DECODE(rows), [HALVES] * 3)
        alone = stage(DECODE(asked(write_photos(tmp_path, 3), [None, "a", "b"])), [HALVES] * 3)
        for each, zero in zip(found, alone, strict=True):
            assert [row for row in each.rows if row["fill"] in ("zero", "none")] == zero.rows
        for model, (height, width) in zip(stage.models, ((64, 96), (80, 64)), strict=True):
            number = stage.models.index(model)
            for i, pixels in pixels_of(DECODE(rows), (height, width)):
                photo = torch.from_numpy(pixels.copy()).float() / 255
                for row in found[i].rows:
                    if row["model"] == number and row["fill"] not in ("zero", "none"):
                        filled = fill_blocks(photo, row["zeroed_blocks"], Grid(2, 3), row["fill"])
                        with torch.inference_mode():
                            expected = model((filled[None].permute(0, 3, 1, 2) - mean_of(model)) / std_of(model))
                        assert row["score"] == pytest.approx(expected.score_N.item(), abs=1e-5)
        scores = {(r["fill"], r["ranking"], r["zeroed_half"]): r["score"] for r in found[0].rows if r["model"] == 0}
        assert len(scores) == 1 + 5 * 4
        assert len({score for (_, ranking, half), score in scores.items() if (ranking, half) == ("a", "trivial")}) == 5


def mean_of(model):
    return torch.tensor(model.preprocessing.mean)[:, None, None]


def std_of(model):
    return torch.tensor(model.preprocessing.std)[:, None, None]


def test_filled_rows_do_not_depend_on_their_neighbours(checkpoints, tmp_path):
    rows = asked(write_photos(tmp_path, 3), [None, "a"], fills=("blur", "zero"))
    stage = ScoreZeroed(checkpoints, GRID, batch_size=4, threads=1)
    together = stage(DECODE(rows), [HALVES] * 3)
    assert together == [stage(DECODE(rows.slice(i, 1)), [HALVES])[0] for i in range(3)]
    assert variants(rows["zero"][0].as_py(), 6) == 2 * (1 + 2 * 2)


def test_along_an_order_block_by_block(checkpoints, tmp_path):
    """Deletion and insertion by the definition, with a loop over blocks and photos filled by hand; equal masks once."""
    photos = write_photos(tmp_path, 2)
    orders = {"order_a": [2, 0, 1, 5, 4, 3], "order_b": [2, 0, 1, 3, 4, 5]}
    first = {name: [sum(1 << b for b in order[: n + 1]) for n in range(6)] for name, order in orders.items()}
    rows = asked(photos, list(orders), models=[1], fills=("black",))
    given = [[{"ranking": name, "first": masks} for name, masks in first.items()]] * 2
    rows = rows.append_column("orders", pa.array(given, ORDERS))
    assert variants(rows["zero"][0].as_py(), 6) == 2 * 11
    stage = ScoreZeroed(checkpoints, GRID, threads=1)
    calls = []
    stage.models[1].register_forward_hook(lambda module, images, out: calls.append(1))
    found = stage(DECODE(rows), [{}] * 2)
    # Of the second order's 11 masks only those that differ: of 4 and 5 blocks, from either side.
    assert len(calls) == 2 * (11 + 4)
    model, cells = stage.models[1], Grid(2, 3).cells(80, 64)
    for i, pixels in pixels_of(DECODE(rows), (80, 64)):
        assert found[i].error is None
        assert len(found[i].rows) == 22
        for name, order in orders.items():
            for count in range(1, 7):
                for half, gone in (("deletion", order[:count]), ("insertion", order[count:])):
                    mask = sum(1 << block for block in gone)
                    there = [
                        row["score"]
                        for row in found[i].rows
                        if (row["ranking"], row["zeroed_half"], row["zeroed_blocks"]) == (name, half, mask)
                    ]
                    if not gone:
                        assert there == []  # the whole photo, which is stored once
                        continue
                    image = pixels.copy()
                    image[np.isin(cells, gone)] = 0
                    with torch.inference_mode():
                        expected = model(model.normalise(torch.from_numpy(image)[None])).score_N.item()
                    assert there == [pytest.approx(expected, abs=1e-6)]


def test_own_halves_are_the_blocks_that_move_the_score_most(checkpoints, tmp_path):
    """By a loop over single blocks, model by model; what it needs on the way is scored, not stored."""
    photos = write_photos(tmp_path, 3)
    stage = ScoreZeroed(checkpoints, GRID, threads=1, batch_size=4)
    found = stage(DECODE(asked(photos, ["occlusion"], fills=("zero", "black"))), [{}] * 3)
    singles = stage(DECODE(asked(photos, [None, "single_block"])), [{}] * 3)
    halves = set()
    for each, known in zip(found, singles, strict=True):
        assert each.error is None
        for model in (0, 1):
            scores = {r["zeroed_blocks"]: r["score"] for r in known.rows if r["model"] == model}
            change = [abs(float(scores[1 << b]) - float(scores[0])) for b in range(6)]
            half = sum(1 << b for b in sorted(range(6), key=lambda b: -change[b])[:3])
            mine = [r for r in each.rows if r["model"] == model]
            assert [(r["ranking"], r["zeroed_half"], r["fill"], r["zeroed_blocks"]) for r in mine] == [
                ("occlusion", name, fill, mask)
                for fill in ("zero", "black")
                for name, mask in (("important", half), ("trivial", 63 ^ half))
            ]
            halves.add((model, half))
    assert len({half for _, half in halves}) > 1
    by_given = stage(DECODE(asked(photos, ["a"])), [{"a": found[0].rows[0]["zeroed_blocks"]}] * 3)[0].rows[0]
    assert by_given["score"] == found[0].rows[0]["score"]
    assert variants([{"ranking": "occlusion"}], 6) == 8


def test_half_precision_is_told_once_a_model(checkpoints, tmp_path):
    rows, told = DECODE(asked(write_photos(tmp_path, 3), [None, "a"])), []
    exact = ScoreZeroed(checkpoints, GRID, threads=1)(rows, [HALVES] * 3)
    stage = ScoreZeroed(checkpoints, GRID, threads=1, precision="bfloat16", told=lambda *what: told.append(what))
    found = stage(rows, [HALVES] * 3)
    assert [(name, why) for name, _, why in told] == [("triq", ""), ("koncept", "")]
    differences = [
        [abs(ours["score"] - theirs["score"]) for ours, theirs in zip(one.rows, other.rows, strict=True)]
        for one, other in zip(found, exact, strict=True)
    ]
    # Told of the first batch, here of one image: the first photo as it is, in each model.
    assert [change for _, change, _ in told] == pytest.approx([differences[0][0], differences[0][3]], rel=1e-3)
    assert 0 < max(map(max, differences)) < 0.1
