"""What an installation away from the checkout has."""

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


def below(folder, *suffixes):
    files = (file for file in (ROOT / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(ROOT).as_posix() for file in files if not suffixes or file.suffix in suffixes}


def test_the_wheel_has_everything(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    assert below("halfiqa_ray") <= held  # code, templates, weights, py.typed
    assert {f"halfiqa_ray/{name}" for name in below("configs")} <= held
    assert {name.split("/")[0] for name in held} == {"halfiqa_ray", "halfiqa_ray-0.1.0.dist-info"}


def test_the_metadata_are_complete(wheel):
    files = zipfile.ZipFile(wheel)
    (place,) = (name for name in files.namelist() if name.endswith("/METADATA"))
    about = message_from_string(files.read(place).decode())
    assert about["Author"] == "halfiqa_ray maintainers"
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert "block importance" in about["Keywords"]
    assert "Programming Language :: Python :: 3.13" in about.get_all("Classifier")
    assert about.get_all("Project-URL") is None
    (scripts,) = (name for name in files.namelist() if name.endswith("/entry_points.txt"))
    assert "halfiqa = halfiqa_ray.main:main" in files.read(scripts).decode()


@pytest.mark.slow
def test_an_installed_wheel_runs_away_from_the_checkout(wheel, tmp_path):
    """In a new environment, which sees the packages of this one but not its halfiqa_ray."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    places = [place for place in sys.path if place.endswith("site-packages")]
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(places))

    def ran(*words):
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})

    def halfiqa(*words):
        return ran(tmp_path / "venv/bin/halfiqa", *words)

    assert ran(python, "-c", "import halfiqa_ray; print(halfiqa_ray.__file__)").stdout.startswith(str(site))
    assert "rank" in halfiqa("--help").stdout
    assert halfiqa("models").returncode in (0, 1)
    done = halfiqa("demo-data", "--config", "demo", "--data.root", "pictures")
    assert (done.returncode, done.stderr) == (0, "")
    done = halfiqa("prepare", "--config", "demo", "--data.root", "pictures", "--data.split_file", "pictures/split.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results/demo/manifest").is_dir()
    done = halfiqa("look", "nothing.jpg", "--model", "nothing")
    assert "there is no model nothing" in done.stderr
