"""The shells' scripts, taken by a shell."""

import shutil
import subprocess

import pytest

from halfiqa_ray.commands.completion import every_option, run
from halfiqa_ray.commands.table import OWN, jobs

ASK = """
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
complete -p halfiqa > /dev/null && _shtab_halfiqa; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script():
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert run(["bash"], "halfiqa completion") == 0
    return said.getvalue()


def completed(script, words):
    done = subprocess.run(["bash", "-c", script + ASK.format(words=words)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_choices(script):
    assert {"look", "rank", "demo-data"} <= completed(script, 'halfiqa ""')
    assert completed(script, "halfiqa rank --rank.grid.r") == {"--rank.grid.rows"}
    assert "--tune.trials" not in completed(script, "halfiqa rank --")
    assert completed(script, "halfiqa look --mod") == {"--model"}
    assert completed(script, 'halfiqa look --rule ""') >= {"level_plcc", "shapley"}


def test_every_subcommand_is_there():
    text = every_option().format_help()
    assert all(name in text for name in [*OWN, *jobs()])
