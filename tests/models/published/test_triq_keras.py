"""TRIQ imported from a Keras .h5, against the same network run by Keras."""

import h5py
import numpy as np
import pytest
import torch

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.subset_scorer import SubsetScorer
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.published.layout import PublishedError, fill
from halfiqa_ray.models.published.triq_keras import LAYOUT
from tests.masking.test_subset_scorer import errors, within_promise
from tests.models.published import keras_models

SPAQ = MosScale(0.0, 100.0)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triq")
    return folder, keras_models.run("triq", folder)


def imported(file, height, width, scale=LAYOUT.scale):
    given = LAYOUT.read(str(file), 2**30)
    settings = LAYOUT.settings(given).model_copy(update={"height": height, "width": width})
    model = build_model(settings, scale)
    return model.eval(), fill(model, LAYOUT, given, str(file))


def renamed_as_keras_2_does(source, target):
    """Names as TensorFlow 2.12 writes them for this graph: ``:0`` behind, no scope before layers of a Sequential."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        new.attrs["layer_names"] = old.attrs["layer_names"]

        def copy(path, node):
            if isinstance(node, h5py.Dataset):
                group, *scopes, layer, parameter = path.split("/")
                in_sequential = any(scope.startswith("sequential") for scope in scopes)
                own = [] if parameter.endswith("_emb") else [layer]
                kept = own if in_sequential or not scopes else [group, *scopes, *own]
                new["/".join([group if scopes else path.split("/")[0], *kept, f"{parameter}:0"])] = node[()]

        old.visititems(copy)


@pytest.mark.parametrize("form", ["weights", "whole", "keras_2"])
def test_levels_equal_kerass(published, form):
    folder, values = published
    if form == "keras_2":
        renamed_as_keras_2_does(folder / "weights.h5", folder / "keras_2.h5")
    model, found = imported(folder / f"{form}.h5", 512, 320)
    images_NCHW = torch.from_numpy(values["images_NHWC"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        prediction = model(images_NCHW)
    expected_N5 = values["output0"]
    assert np.abs(expected_N5 - expected_N5[:1]).max() > 1e-3  # photos differ, so that the whole network is seen
    np.testing.assert_allclose(prediction.levels_N5, expected_N5, atol=1e-5)
    np.testing.assert_allclose(prediction.score_N, expected_N5 @ np.arange(1, 6), atol=5e-5)
    assert found.complete
    assert model.position_table.shape == (1, 193, 32)
    assert model.settings.pooled
    assert model.preprocessing.mean == model.preprocessing.std == (0.5, 0.5, 0.5)


def test_the_imported_model_runs_in_the_subset_scorer(published):
    model, _ = imported(published[0] / "weights.h5", 512, 320)
    images_NCHW = torch.from_numpy(published[1]["images_NHWC"]).permute(0, 3, 1, 2)
    grid = Grid(2, 3)
    with torch.inference_mode():
        features_NCHW = model.feature_matrix(images_NCHW)
        whole_N = model(images_NCHW).score_N
        scores_NS = SubsetScorer(model, grid)(features_NCHW).scores_NS
    ours, plain, truth_S = errors(model, features_NCHW[0], grid, list(range(grid.subsets)))
    assert within_promise(ours, plain), (ours, plain)
    assert truth_S.std() > 1e-3
    np.testing.assert_allclose(scores_NS[:, grid.full], whole_N, atol=2e-5)


@pytest.fixture(scope="module")
def published_score(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    return folder, keras_models.run("triq_score", folder)


@pytest.mark.parametrize("scale", [LAYOUT.scale, SPAQ])
def test_a_scalar_output_is_a_level_and_comes_out_on_the_scale(published_score, scale):
    folder, values = published_score
    model, _ = imported(folder / "weights.h5", 64, 96, scale)
    with torch.inference_mode():
        prediction = model(torch.from_numpy(values["images_NHWC"]).permute(0, 3, 1, 2))
    assert prediction.levels_N5 is None
    expected_N = scale.from_levels(torch.from_numpy(values["output0"][:, 0]))
    np.testing.assert_allclose(prediction.score_N, expected_N, rtol=1e-4, atol=1e-4)


def test_all_that_does_not_match_is_listed(published, tmp_path):
    file = tmp_path / "changed.h5"
    file.write_bytes((published[0] / "weights.h5").read_bytes())
    with h5py.File(file, "a") as opened:
        del opened["conv3_block2_1_bn/conv3_block2_1_bn/gamma"]
        opened["another/another/kernel"] = np.zeros((2, 3), np.float32)
        del opened["conv1_conv/conv1_conv/bias"]
        opened["conv1_conv/conv1_conv/bias"] = np.zeros(3, np.float32)
    with pytest.raises(PublishedError) as caught:
        imported(file, 512, 320)
    text = str(caught.value)
    assert str(file) in text
    assert "1 tensors missing from the file:" in text
    assert "backbone.stages.1.1.reduce.norm.weight (looked for conv3_block2_1_bn/gamma)" in text
    assert "1 tensors in the file, but not in the model:\n  another/kernel" in text
    assert "backbone.stem.convolution.bias is (64,), conv1_conv/bias in the file is (3,)" in text


def test_a_file_of_another_model_is_said_to_be_one(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file["dense/dense/kernel:0"] = np.zeros((2, 3), np.float32)
    with pytest.raises(PublishedError, match="this is no TRIQ"):
        imported(tmp_path / "other.h5", 64, 96)
