"""What `ray job submit --working-dir .` sends, as Ray itself walks the folder: the code, not the photos beside it."""

import subprocess
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import _dir_travel

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sent(tmp_path):
    """A function that makes files in a folder with this one's .gitignore, and gives those that would be sent."""

    def tell(*paths, rayignore=""):
        (tmp_path / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
        (tmp_path / ".rayignore").write_text(rayignore)
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(b"x")
        found = []
        _dir_travel(tmp_path, [], found.append, include_gitignore=True)
        return {str(path.relative_to(tmp_path)) for path in found if path.is_file()} - {".gitignore", ".rayignore"}

    return tell


def test_photos_and_results_are_not_sent(sent):
    assert sent("data/a.jpg", "data/koniq10k/1024x768/a.jpg", "photos/a.jpg", "results/x.parquet", "a.py") == {"a.py"}


def test_ones_own_folder_can_be_left_out(sent):
    assert sent("my_photos/a.jpg") == {"my_photos/a.jpg"}
    assert sent("my_photos/a.jpg", rayignore="/my_photos/\n") == set()
    assert "`/my_photos/`" in (ROOT / "cluster" / "README.md").read_text()


def test_all_that_the_jobs_need_is_sent(sent):
    """Folders named data and photos are code too."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    files = set(tracked) or {str(file.relative_to(ROOT)) for file in ROOT.glob("halfiqa_ray/**/*.py")}
    assert "halfiqa_ray/data/photos/listing.py" in files
    assert files - sent(*files - {".gitignore"}) == {".gitignore"} & files
