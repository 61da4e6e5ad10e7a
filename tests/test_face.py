"""`import halfiqa_ray`: light, and complete."""

import subprocess
import sys

import halfiqa_ray


def loaded_after(code):
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in told.stdout.splitlines()[-1].split()}


def test_the_import_is_light():
    assert loaded_after("import halfiqa_ray").isdisjoint({"torch", "ray", "numpy", "pydantic", "PIL", "matplotlib"})


def test_looking_needs_no_ray_and_no_matplotlib():
    code = "import halfiqa_ray as hq\nhq.look, hq.load\nimport halfiqa_ray.looking.command"
    assert "torch" in (loaded := loaded_after(code))
    assert loaded.isdisjoint({"ray", "matplotlib", "IPython", "pandas"})


def test_all_names_are_there():
    for name in halfiqa_ray.__all__:
        assert getattr(halfiqa_ray, name)
    assert set(halfiqa_ray.__all__) <= set(dir(halfiqa_ray))
