from pathlib import Path

import pytest

from halfiqa_ray.config import parse

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "data").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_data_config_reads_and_says_how_to_use_it(path):
    settings = parse("prepare.py", "", ["data"], ["--config", str(path)])
    assert settings.data.dataset == path.stem
    text = path.read_text()
    for word in ("Command:", "Hardware:", "Time:", "Expect:", f"configs/data/{path.name}"):
        assert word in text


def test_the_scale_can_be_given_on_the_command_line():
    assert parse("prepare.py", "", ["data"], ["--data.mos_scale", "[1, 5]"]).data.mos_scale == (1, 5)
