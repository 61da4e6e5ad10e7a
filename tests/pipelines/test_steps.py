"""What a process that decodes and measures has to import before it can begin."""

import subprocess
import sys
from functools import partial

from ray import cloudpickle

from halfiqa_ray.config import GridSettings, MeasureSettings
from halfiqa_ray.pipelines.steps import InTurn, Tell
from halfiqa_ray.runtime.counting import Timed
from halfiqa_ray.stages.decode import Decode
from halfiqa_ray.stages.measures import BandMeans, MeasurePhotos
from halfiqa_ray.stages.watched import Watched

ASK = """
import pickle, sys
steps = pickle.load(sys.stdin.buffer)
import halfiqa_ray.measures.measures
print(*sorted({"torch", "timm", "torchvision", "matplotlib", "pandas"} & set(sys.modules)))
"""


def imported_for(steps):
    pickled = cloudpickle.dumps(InTurn(steps))
    return subprocess.run([sys.executable, "-c", ASK], input=pickled, capture_output=True, check=True).stdout.split()


def test_tasks_that_decode_and_measure_do_without_torch():
    """Ray starts several such processes for a job, and the scoring actors, which need torch, at the same time."""
    decode = Decode(64, 96)
    measure = MeasurePhotos(MeasureSettings(), (1.0,) * 10, GridSettings(rows=2, columns=3), 0)
    watch = partial(Watched, marks="marks", most=1)
    assert imported_for([Timed("decode", decode, None), watch(Timed("measure", measure, None))]) == []
    assert imported_for([BandMeans(decode), Tell(None)]) == []


def test_what_networks_and_tables_import_is_left_until_ray_starts():
    """The rank job brings it in while Ray's processes start: seconds of ten photos' twenty."""
    code = (
        "import sys, halfiqa_ray.pipelines.rank\n"
        "print(*sorted({'timm', 'torchvision', 'scipy.stats', 'openpyxl', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
