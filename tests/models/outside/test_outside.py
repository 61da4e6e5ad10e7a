"""Models that are not ours: the contract, what is told of those that break it, and which code is run."""

import json

import numpy as np
import pytest
import torch

from halfiqa_ray import storage
from halfiqa_ray.config import ModelSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.zeroing import zero_blocks
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import RECORD, CheckpointError, load_checkpoint
from halfiqa_ray.models.offered import GROUP, offered
from halfiqa_ray.models.outside import OutsideError, find_outside, load_outside, outside_record
from tests.models.outside import factories
from tests.models.outside.factories import HERE, calls, outside
from tests.models.small import KONIQ, model_settings
from tests.stages.test_subsets import write_checkpoint


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), np.uint8)


def score(settings, pixels_NHWC, masks=None):
    model, _ = load_outside(settings)
    images = model.normalise(torch.from_numpy(pixels_NHWC))
    if masks is not None:
        images = zero_blocks(images, masks, Grid(2, 3))
    with torch.inference_mode():
        return model(images).score_N.numpy()


def test_images_come_as_the_contract_says(pixels):
    calls.clear()
    found = score(outside("brightness"), pixels)
    np.testing.assert_allclose(found, (pixels / 255).mean((1, 2, 3)), rtol=1e-6)
    [(_, images)] = calls
    assert (images.dtype, tuple(images.shape), images.device.type) == (torch.float32, (3, 3, 64, 96), "cpu")
    assert images.is_contiguous()
    assert 0 <= images.min() <= images.max() <= 1
    np.testing.assert_allclose(images.numpy(), pixels.transpose(0, 3, 1, 2) / 255, atol=1e-7)


def test_zeroed_pixels_have_the_colour_of_nothing(pixels):
    """Zeroed here, and painted by hand with that colour: the same score. Another colour gives another."""
    cells = Grid(2, 3).cells(64, 96)
    by_colour = {}
    for nothing in ((0.485, 0.456, 0.406), (0.1, 0.9, 0.5)):
        painted = pixels / 255
        painted[:, np.isin(cells, [0, 4])] = nothing
        by_colour[nothing] = score(outside("brightness", nothing=nothing), pixels, [0b010001] * 3)
        np.testing.assert_allclose(by_colour[nothing], painted.mean((1, 2, 3)), rtol=1e-6)
    assert np.abs(np.subtract(*by_colour.values())).min() > 1e-3


def test_lower_scores_are_turned_round_within_the_scale(pixels):
    higher = score(outside("brightness", scale=(0, 100)), pixels)
    np.testing.assert_allclose(score(outside("brightness", scale=(0, 100), better="lower"), pixels), 100 - higher)


def test_functions_take_arguments_and_one_image_at_a_time(pixels):
    found = score(outside("power", arguments={"exponent": 2}), pixels)
    np.testing.assert_allclose(found, ((pixels / 255) ** 2).mean((1, 2, 3)), rtol=1e-6)
    single = score(outside("one_image_only", one_by_one=True), pixels)
    np.testing.assert_allclose(single, score(outside("column"), pixels), rtol=1e-6)
    assert np.isnan(score(outside("one_or_no_score", one_by_one=True), np.zeros_like(pixels))).all()


def test_modules_are_in_evaluation_mode_with_the_same_weights_every_time(pixels):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = score(outside(factory="small"), pixels)
    assert torch.equal(torch.random.get_rng_state(), before)  # nobody else's random numbers are touched
    torch.manual_seed(6)
    np.testing.assert_array_equal(score(outside(factory="small"), pixels), first)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            outside("levels"),
            r"shape \(2, 3\) for 2 images; one score an image is due, shape \(2,\) or \(2, 1\); make one",
        ),
        (outside("scalar"), r"gave shape \(\) for 2 images.*one_by_one: true"),
        (outside("text"), "gave a str for 2 images"),
        (outside("not_finite"), "gave inf and inf for two test images.*finite"),
        (outside("flat_is_nan"), r"gave \S+ and nan .*left half set to \[0.485, 0.456, 0.406\]"),
        (outside("noisy"), "is not deterministic: it gave .* the second time"),
        (outside("of_batch"), "depend on what else is in the batch.*one_by_one: true"),
        (outside("fails"), r"failed on two test images \(float32, \(2, 3, 64, 96\), RGB in \[0, 1\]\): KeyError"),
        (outside("one_image_only"), "ValueError: one image, please"),
        (outside(factory="gives_nothing"), "its factory gave a NoneType, which cannot be called"),
        (outside(factory="needs_more"), "called with no arguments, failed: TypeError.*size"),
        (outside("nobody"), f"model.outside.function: {HERE} has no nobody"),
        (outside("NUMBER"), "is a int, which cannot be called"),
        (outside(), "nothing says what makes it"),
        (outside("brightness", name=""), "set model.outside.name to what tables shall call it"),
        (outside("brightness", name="triq"), "another model has this name"),
        (outside("brightness", layer="first"), "is no nn.Module; leave it out"),
        (outside(factory="small", layer="third"), "it has no layer 'third'; it has first, second, dropout, out"),
        (outside(factory="small", layer="out"), r"gives \(2, 1\); Grad-CAM needs images x channels x rows x columns"),
        (outside(factory="small", layer="second", arguments={"gradients": False}), "no gradient comes from the score"),
        (
            ModelSettings(name="outside", outside={"name": "x", "factory": "no_such_package.models:make"}),
            "cannot import no_such_package.models: ModuleNotFoundError.*PYTHONPATH",
        ),
    ],
)
def test_what_breaks_the_contract_is_told(settings, told):
    with pytest.raises(OutsideError, match=rf"(?s){told}"):
        outside_record(settings)


def test_one_by_one_mends_what_hangs_on_the_batch():
    assert outside_record(outside("of_batch", one_by_one=True)).model.name == "mine"


def test_a_record_knows_the_model_again(tmp_path, monkeypatch):
    same = outside_record(outside("brightness")).weights_sha256
    assert load_outside(outside("brightness"), planned_sha256=same)[1].weights_sha256 == same
    others = [
        outside("column"),
        outside("brightness", better="lower"),
        outside("brightness", version="2"),
        outside(factory="small"),
    ]
    assert len({same, *(outside_record(other).weights_sha256 for other in others)}) == 5
    with pytest.raises(CheckpointError, match="is another here than where the job was planned"):
        load_outside(outside("column"), planned_sha256=same)
    # Another text in its file, and other weights, are other models.
    for number in range(2):
        (tmp_path / f"measure_{number}.py").write_text(
            f"def f(images):\n    return {number} + images.mean((1, 2, 3))\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    two = [ModelSettings(name="outside", outside={"name": "x", "function": f"measure_{n}:f"}) for n in range(2)]
    assert len({load_outside(each)[1].weights_sha256 for each in two}) == 2
    first = load_outside(outside(factory="small"))[1].weights_sha256
    monkeypatch.setattr(
        factories, "Small", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 96, 1))
    )
    assert load_outside(outside(factory="small"))[1].weights_sha256 != first


def test_nothing_that_a_checkpoint_names_is_run(tmp_path):
    """A record whose model is outside is refused before its factory is even imported."""
    folder = write_checkpoint(tmp_path / "triq")
    file = storage.join(folder, RECORD)
    record = storage.read_json(file)
    for name in ("outside", "triq"):
        evil = {"factory": "antigravity_of_checkpoint:make", "name": "evil"}
        record["model"] |= {"name": name, "outside": evil}
        (tmp_path / "triq" / RECORD).write_text(json.dumps(record))
        calls.clear()
        if name == "outside":
            with pytest.raises(ValueError, match="code that a checkpoint names is never run"):
                load_checkpoint(folder)
        else:
            load_checkpoint(folder)  # nothing looks at it
    with pytest.raises(ValueError, match="neither trained nor read from a checkpoint"):
        build_model(outside(factory="small"), KONIQ)
    assert calls == []


def test_files_and_own_settings_name_models(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"model:\n  name: outside\n  height: 64\n  outside: {{name: mine, function: '{HERE}:brightness'}}\n"
    )
    found = find_outside(str(file), model_settings())
    assert (found.outside.name, found.height) == ("mine", 64)
    assert find_outside("outside", found) is found
    assert find_outside("koncept", found) is find_outside("biq2021/triq", found) is None
    with pytest.raises(OutsideError, match=r"outside is named, but model\.name is triq"):
        find_outside("outside", model_settings())
    file.write_text("model: {name: koncept}\n")
    with pytest.raises(OutsideError, match=r"its model.name is koncept"):
        find_outside(str(file), found)
    file.write_text("model: {outside: {scale: [5, 1]}}\n")
    with pytest.raises(ValueError, match=r"the lowest score comes first"):
        find_outside(str(file), found)
    file.write_text("model: {outside: {factory: 'os.system(1)'}}\n")
    with pytest.raises(ValueError, match=r"model.outside.factory is 'os.system\(1\)': it must match"):
        find_outside(str(file), found)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package beside ours that offers models, as an installer leaves it."""
    info = tmp_path / "their_metrics-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-metrics\nVersion: 1.2\n")
    lines = (
        f"bright = {HERE}:offered",
        f"wrong = {HERE}:offered_wrongly",
        f"number = {HERE}:NUMBER",
        "gone = no_such:x",
    )
    (info / "entry_points.txt").write_text("[halfiqa_ray.models]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_installed_package_offers_models(installed, pixels):
    assert offered() == dict.fromkeys(("bright", "wrong", "number", "gone"), "their-metrics 1.2")
    settings = find_outside("outside:bright", model_settings())
    assert (settings.outside.name, settings.outside.scale, settings.height) == ("bright", (0, 2), 64)
    np.testing.assert_allclose(score(settings, pixels), (pixels / 255).mean((1, 2, 3)), rtol=1e-6)
    for name, told in (
        ("wrong", r"model.hight: Extra inputs"),
        ("number", "is a int; an entry point of halfiqa_ray.models is a mapping"),
        ("gone", "cannot be imported: ModuleNotFoundError"),
        ("dull", "no installed package offers a model of that name.*there is bright, gone, number, wrong"),
    ):
        with pytest.raises(OutsideError, match=told):
            find_outside(f"outside:{name}", model_settings())
    assert GROUP == "halfiqa_ray.models"  # what other packages have written down
