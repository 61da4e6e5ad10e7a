"""Photos to scores, against the stage of the jobs and the model itself."""

import io
from itertools import permutations
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

import halfiqa_ray as hq
from halfiqa_ray.data.photos.images import ImageError
from halfiqa_ray.models.checkpoints import CheckpointError
from halfiqa_ray.stages.decode import Decode
from halfiqa_ray.stages.subsets import ScoreSubsets
from halfiqa_ray.tables.stored.reading import vectors
from tests.stages.test_subsets import GRID, write_checkpoint, write_photos

SHAPE = {"rows": 2, "columns": 3}


def test_a_look_says_what_the_jobs_store(model, checkpoint, tmp_path):
    rows = write_photos(tmp_path, 3, size=(130, 70))
    stored = ScoreSubsets(checkpoint, GRID)(Decode(64, 96)(rows))
    for number, path in enumerate(rows["uri"].to_pylist()):
        seen = hq.look(model, path, **SHAPE)
        assert np.array_equal(seen.scores, vectors(stored["subset_scores"])[number])
        assert np.allclose(seen.shapley, vectors(stored["shapley"])[number], rtol=1e-6)
        assert np.array_equal(seen.levels, vectors(stored["levels"])[number])
        assert seen.halves == {rule: stored[f"important_{rule}"][number].as_py() for rule in seen.halves}
        assert seen.rule == "level_plcc"
        assert seen.important == stored["important_level_plcc"][number].as_py()


def test_the_halves_hang_together(model, tmp_path):
    (path,) = write_photos(tmp_path, 1)["uri"].to_pylist()
    seen = hq.look(model, path, **SHAPE)
    halves = {kept: seen.scores[kept] for kept in range(64) if kept.bit_count() == 3}
    changes = {kept: abs(float(score) - seen.score) for kept, score in halves.items()}
    assert changes[seen.best] == min(changes.values())
    assert changes[seen.worst] == max(changes.values())
    assert seen.important + seen.trivial == 63
    assert seen.important_score == seen.scores[seen.important]
    assert (seen.important_grid ^ seen.trivial_grid).all()
    assert seen.important_grid.tolist() == [[bool(seen.important >> (3 * r + c) & 1) for c in range(3)] for r in (0, 1)]
    with pytest.raises(IndexError, match="64"):
        seen.score_of(64)
    with pytest.raises(ValueError, match="read-only"):
        seen.scores[0] = 0


def test_shapley_values_are_the_mean_over_all_orders(model, tmp_path):
    """The definition itself, over all 720 orders of the six blocks."""
    (path,) = write_photos(tmp_path, 1)["uri"].to_pylist()
    seen = hq.look(model, path, **SHAPE)
    total = np.zeros(6)
    for order in permutations(range(6)):
        kept = 0
        for block in order:
            total[block] += float(seen.scores[kept | 1 << block]) - float(seen.scores[kept])
            kept |= 1 << block
    assert np.allclose(seen.shapley, total / 720, atol=1e-9)


def test_a_photo_is_the_same_however_it_is_given(model, tmp_path):
    (path,) = write_photos(tmp_path, 1)["uri"].to_pylist()
    data = Path(path).read_bytes()
    with fsspec.open("memory://halfiqa/photo.png", "wb") as file:
        file.write(data)
    image = Image.open(io.BytesIO(data))
    ways = [path, tmp_path / "0.png", f"file://{path}", "memory://halfiqa/photo.png", image, np.asarray(image)]
    scores = hq.subset_scores(model, ways, **SHAPE)
    assert scores.shape == (6, 64)
    assert (scores == scores[0]).all()


def test_a_turned_pillow_image_is_turned_as_its_file_is(model, tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8))
    tags = image.getexif()
    tags[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=tags)
    with Image.open(tmp_path / "turned.png") as opened:
        scores = hq.subset_scores(model, [opened, tmp_path / "turned.png", np.asarray(image)], **SHAPE)
    assert (scores[0] == scores[1]).all()
    assert (scores[0] != scores[2]).any()


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8, 3)), np.zeros((3, 8, 8), np.uint8), np.zeros((0, 8, 3), np.uint8), np.zeros(8, np.uint8)],
)
def test_an_array_that_is_no_photo_is_refused_with_its_shape(model, array):
    with pytest.raises(ValueError, match=str(array.shape).replace("(", r"\(").replace(")", r"\)")):
        hq.look(model, array, **SHAPE)


def test_what_cannot_be_read_is_named(model, tmp_path):
    (tmp_path / "no.jpg").write_text("words")
    for name in (tmp_path / "no.jpg", tmp_path / "gone.jpg", "memory://nowhere/gone.png", "nosuch://a/b.png"):
        with pytest.raises(ImageError, match=str(name)):
            hq.look(model, name, **SHAPE)


def test_zeroed_scores_are_the_models_own(tmp_path):
    """Of a model that is no TRIQ; zeroed by hand, block by block."""
    model = hq.load(write_checkpoint(tmp_path / "small"))
    paths = write_photos(tmp_path, 2)["uri"].to_pylist()
    found = hq.zeroed_scores(model, paths, [0, 0b100001, 63], **SHAPE)
    assert found.shape == (2, 3)
    with torch.inference_mode():
        image = model.network.normalise(torch.from_numpy(np.array(Image.open(paths[1])))[None])
        assert found[1, 0] == pytest.approx(float(model.network(image).score_N))
        image[:, :, :32, :32] = 0
        image[:, :, 32:, 64:] = 0
        assert found[1, 1] == pytest.approx(float(model.network(image).score_N))
    assert found[0, 2] == pytest.approx(found[1, 2])  # nothing is left of either
    with pytest.raises(ValueError, match="mask 64"):
        hq.zeroed_scores(model, paths, [64], **SHAPE)


def test_models_without_subsets_and_without_levels(tmp_path):
    scalar = hq.load(write_checkpoint(tmp_path / "scalar", output="score"))
    (path,) = write_photos(tmp_path, 1)["uri"].to_pylist()
    seen = hq.look(scalar, path, **SHAPE)
    assert seen.rule == "score_change"
    assert seen.levels is None
    with pytest.raises(ValueError, match=r"level_plcc gives this photo no half; these do: score_change"):
        hq.look(scalar, path, rule="level_plcc", **SHAPE)
    assert hq.look(scalar, path, rule="shapley", **SHAPE).rule == "shapley"
    with pytest.raises(ValueError, match="at most 16"):
        hq.look(scalar, path, rows=5, columns=4)
    with pytest.raises(ValueError, match="2 x 3 tokens, too few for 3 x 4"):
        hq.look(scalar, path)


def test_a_model_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model nobody/nothing: .* \(there are: "):
        hq.load("nobody/nothing")


def test_a_device_that_is_not_here_is_said(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="there is no cuda:1 here: torch sees 1 GPUs"):
        hq.load(checkpoint, "cuda:1")
    with pytest.raises(ValueError, match="'gpu' is no device"):
        hq.load(checkpoint, "gpu")
