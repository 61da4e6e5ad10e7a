"""One ranked output for all tests that start from one."""

import shutil

import pytest

from halfiqa_ray.pipelines import rank
from tests.pipelines.small_data import settings_of, write_data


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    root = tmp_path_factory.mktemp("one_stream")
    write_data(root / "out", root / "photos")
    return root / "out"


@pytest.fixture(scope="session")
def together(cluster, fresh):
    """The output of the rank job with everything in it, to be copied by who changes it."""
    output = fresh.parent / "together"
    shutil.copytree(fresh, output)
    assert rank.run(settings_of(output)) == 0
    return output
