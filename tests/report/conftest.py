"""Output folders that many tests of figures read."""

import pytest

from tests.report import planted_report


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Everything but maps: (output as text, run, rank rows)."""
    output = tmp_path_factory.mktemp("planted")
    run, table = planted_report.whole(output)
    return str(output), run, table
