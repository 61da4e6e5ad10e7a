import pytest
import torch

from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.passes import Passes
from tests.models.small import KONIQ, model_settings


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    return build_model(model_settings(name="triq", height=64, width=64), KONIQ).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_float32_is_the_model_itself_to_the_bit(model, images):
    passes = Passes(model)
    with torch.inference_mode():
        assert torch.equal(passes(images), model(images).score_N)
    assert (passes.change, passes.not_compiled) == (None, "")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_tells_what_it_changes(model, images, precision):
    passes = Passes(model, precision)
    with torch.inference_mode():
        half_N, exact_N = passes(images), model(images).score_N
        change = passes.change
        passes(images[:1])
    assert half_N.dtype == torch.float32
    assert change == pytest.approx((half_N - exact_N).abs().max().item())
    assert 0 < change < 0.05  # of a scale of 4
    assert passes.change == change  # of the first batch


@pytest.fixture
def compiler(monkeypatch):
    """Puts a function in the place of torch.compile."""

    def put(function):
        monkeypatch.setattr(torch, "compile", lambda model, **_: function(model))

    return put


def test_a_compiled_model_with_equal_scores_is_used(model, images, compiler):
    calls = []
    compiler(lambda model: lambda images: calls.append(len(images)) or model(images))
    passes = Passes(model, compiled=True)
    with torch.inference_mode():
        assert torch.equal(passes(images), model(images).score_N)
    assert (calls, passes.not_compiled) == ([3, 3], "")


def test_what_cannot_be_compiled_runs_as_it_is(model, images, compiler):
    def fail(model):
        raise RuntimeError("no C++ compiler\n  on this machine")

    compiler(fail)
    passes = Passes(model, compiled=True)
    with torch.inference_mode():
        assert torch.equal(passes(images), model(images).score_N)
    assert passes.not_compiled == "RuntimeError: no C++ compiler on this machine"


def test_a_compiled_model_with_other_scores_is_not_used(model, images, compiler):
    compiler(lambda model: lambda images: model(images * 1.5))
    passes = Passes(model, compiled=True)
    with torch.inference_mode():
        assert torch.equal(passes(images), model(images).score_N)
    assert passes.not_compiled.startswith("its scores differ by")


@pytest.mark.slow
def test_torch_compile_itself(model, images):
    """Either it is compiled and scores the same, or why not is told; a C++ compiler decides which."""
    passes = Passes(model, compiled=True)
    with torch.inference_mode():
        torch.testing.assert_close(passes(images), model(images).score_N, rtol=0, atol=1e-4)
        torch.testing.assert_close(passes(images), model(images).score_N, rtol=0, atol=1e-4)
