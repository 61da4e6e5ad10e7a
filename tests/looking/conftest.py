import pytest

import halfiqa_ray as hq
from tests.stages.test_subsets import write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """An untrained small TRIQ whose blocks are 2 x 3 at most."""
    return write_checkpoint(tmp_path_factory.mktemp("looking") / "small")


@pytest.fixture(scope="session")
def model(checkpoint):
    return hq.load(checkpoint)
