"""Photos to rank rows, without Ray."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from halfiqa_ray import schema
from halfiqa_ray.config import GridSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.ordinary import masked_keys
from halfiqa_ray.models.checkpoints import CheckpointRecord, load_checkpoint, save_checkpoint
from halfiqa_ray.stages.decode import Decode
from halfiqa_ray.stages.subsets import ScoreSubsets, output_schema
from halfiqa_ray.tables.stored.reading import vectors
from tests.models.small import KONIQ, model_settings, small_model, train_settings

GRID = GridSettings(rows=2, columns=3)


def write_checkpoint(folder, **changes):
    """An untrained small TRIQ (64 x 96 pixels, 2 x 3 tokens)."""
    model = small_model(**changes)
    record = CheckpointRecord(
        dataset="demo",
        synthetic=True,
        mos_scale=KONIQ,
        model=model_settings(**changes),
        preprocessing=model.preprocessing,
        run="r",
        train=train_settings(),
        seed=0,
        stage="fit",
        epoch=1,
        split_hash="0",
        metrics={},
        versions={},
    )
    save_checkpoint(str(folder), model, record)
    return str(folder)


def write_photos(folder, count, size=(96, 64), seed=0):
    """PNG noise around different greys; a table of manifest rows."""
    rng = np.random.default_rng(seed)
    names = [f"{i}.png" for i in range(count)]
    for i, name in enumerate(names):
        pixels = rng.integers(0, 60 + 190 * (i + 1) // count, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return manifest_rows(folder, names)


def manifest_rows(folder, names):
    return pa.table(
        {
            "image_id": names,
            "uri": [str(folder / name) for name in names],
            "split": pa.array(["test"] * len(names)),
            "source_photo": pa.nulls(len(names), pa.string()),
            "mos": pa.array([2.5] * len(names), pa.float64()),
        }
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def scored(checkpoint, rows, decode=Decode(64, 96), **stage):
    return ScoreSubsets(checkpoint, GRID, threads=1, **stage)(decode(rows))


def test_rows_hold_the_masked_predictions(checkpoint, tmp_path):
    rows = write_photos(tmp_path, 3)
    table = scored(checkpoint, rows)
    assert table.schema == output_schema(6)
    assert table["error"].null_count == 3
    model, _ = load_checkpoint(checkpoint)
    grid = Grid(2, 3)
    masked = masked_keys(grid, 2, 3, range(grid.subsets))
    for i in range(3):
        pixels = np.array(Image.open(tmp_path / f"{i}.png"))
        with torch.inference_mode():
            image = model.normalise(torch.from_numpy(pixels)[None])
            expected = torch.cat([model(image, m[None]).score_N for m in masked]).numpy()
        assert np.allclose(vectors(table["subset_scores"])[i], expected, atol=1e-5)
        assert table["score"][i].as_py() == pytest.approx(expected[-1], abs=1e-5)
        assert sum(table["levels"][i].as_py()) == pytest.approx(1, abs=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(checkpoint, tmp_path):
    """Alone, shuffled and batched: bitwise equal on CPU."""
    rows = write_photos(tmp_path, 7)
    together = scored(checkpoint, rows, batch_size=4)
    alone = pa.concat_tables([scored(checkpoint, rows.slice(i, 1), batch_size=4) for i in range(7)])
    order = [3, 6, 0, 2, 5, 1, 4]
    shuffled = scored(checkpoint, rows.take(pa.array(order)), batch_size=4)
    assert together.equals(alone)
    assert together.take(pa.array(order)).equals(shuffled)


def test_bad_photos_and_sizes_that_do_not_fit_become_errors(checkpoint, tmp_path):
    rows = write_photos(tmp_path, 3)
    (tmp_path / "1.png").write_bytes(b"not a photo")
    Image.new("RGB", (200, 200)).save(tmp_path / "2.png")
    table = scored(checkpoint, rows, Decode(64, 96, native=True))
    assert table["error"].is_null().to_pylist() == [True, False, False]
    assert table["subset_scores"].is_null().to_pylist() == [False, True, True]
    assert "1.png" in table["message"][1].as_py()
    assert "50 tokens" in table["message"][2].as_py()
    assert "holds 7" in table["message"][2].as_py()
    assert table["important_score_change"].is_null().to_pylist() == [False, True, True]


def test_halves_and_values_hang_together(checkpoint, tmp_path):
    table = scored(checkpoint, write_photos(tmp_path, 4))
    scores = vectors(table["subset_scores"])
    assert np.allclose(vectors(table["shapley"]).sum(1), scores[:, -1] - scores[:, 0], atol=1e-5)
    for rule in schema.IMAGE_RULES:
        importance = vectors(table[f"importance_{rule}"])
        for row, half in zip(importance, table[f"important_{rule}"].to_pylist(), strict=True):
            chosen = [b for b in range(6) if half >> b & 1]
            assert len(chosen) == 3
            assert min(row[chosen]) >= max(row[b] for b in range(6) if b not in chosen)


def test_scalar_head_has_no_level_rule(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "scalar", output="score")
    table = scored(checkpoint, write_photos(tmp_path, 2))
    for name in ("levels", "level_plcc", "importance_level_plcc", "important_level_plcc"):
        assert table[name].null_count == 2
    assert table["important_score_change"].null_count == 0


def test_a_broken_model_gives_error_rows_not_numbers(checkpoint, tmp_path):
    stage = ScoreSubsets(checkpoint, GRID, threads=1)
    with torch.no_grad():
        stage.model.head_output.bias.fill_(float("nan"))
    table = stage(Decode(64, 96)(write_photos(tmp_path, 2)))
    assert table["error"].to_pylist() == ["score is not finite"] * 2


def test_schema_is_plain_arrow(checkpoint):
    assert "extension" not in str(output_schema(6))
    assert json.dumps(schema.metadata(schema.with_metadata(output_schema(6), {"a": 1}))) == '{"a": 1}'
