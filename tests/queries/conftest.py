import pytest

from halfiqa_ray.queries.connection import connect
from tests.queries import results


@pytest.fixture(scope="session")
def planted_output(tmp_path_factory):
    """A small output with everything that queries read, and the rank rows of each of its data sets."""
    output = tmp_path_factory.mktemp("queries") / "results"
    return output, results.write(output)


@pytest.fixture(scope="session")
def asked(planted_output):
    """SQL over that output."""
    with connect(str(planted_output[0]), "all") as connection:
        yield connection
