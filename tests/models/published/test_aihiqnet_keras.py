"""AIHIQnet imported from a Keras .h5, against the same network run by Keras."""

import h5py
import numpy as np
import torch

from halfiqa_ray.config import PublishedSettings
from halfiqa_ray.models.published.importing import read_published
from tests.models.published import keras_models


def imported(file, height, width, **settings):
    return read_published(PublishedSettings(file=str(file), layout="aihiqnet_keras", size=(height, width), **settings))


def predicted(model, values):
    with torch.inference_mode():
        return model(torch.from_numpy(values["images_NHWC"]).permute(0, 3, 1, 2))


def test_levels_equal_kerass(tmp_path):
    values = keras_models.run("aihiqnet", tmp_path)
    model, record, found = imported(tmp_path / "whole.h5", 64, 96)
    prediction = predicted(model, values)
    expected_N5 = values["output0"]
    assert np.abs(expected_N5 - expected_N5[:1]).max() > 1e-3
    np.testing.assert_allclose(prediction.levels_N5, expected_N5, atol=1e-5)
    np.testing.assert_allclose(prediction.score_N, expected_N5 @ np.arange(1, 6), atol=5e-5)
    assert len(found.matched) == 53 * 6 + 2 * 9 + 5 * 5  # ResNet-50, the pyramid, the heads
    assert record.preprocessing.mean == record.preprocessing.std == (0.5, 0.5, 0.5)


def test_a_scalar_output_is_a_level_in_both_states_of_the_code(tmp_path):
    values = keras_models.run("aihiqnet_score", tmp_path)
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        for head in range(5):
            file[f"P{head}fc_prediction/P{head}fc_prediction"] = file[f"P{head}_fc_prediction/P{head}_fc_prediction"]
            del file[f"P{head}_fc_prediction"]
    expected_N = (values["output0"][:, 0] - 1) * 25
    for file in ("weights.h5", "whole.h5"):
        model, _, _ = imported(tmp_path / file, 64, 64, dataset="spaq", mos_scale=(0, 100))
        np.testing.assert_allclose(predicted(model, values).score_N, expected_N, rtol=1e-4, atol=1e-3)
