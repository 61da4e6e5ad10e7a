"""The frame of every job: what it is for, the settings that it takes, and where its work begins.

A job reads its settings, and only then imports what does the work: torch and Ray take seconds to import, which
``--help`` and a mistyped setting should not wait for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from halfiqa_ray.collecting import end_quickly, no_collections


class Job(NamedTuple):
    """One job.

    ``entry`` is the function that does the work, as ``module:function``; it takes the settings and returns the exit
    code. Where the job ``rereads``, it takes instead a function from command line words to settings, and the words.
    """

    description: str
    sections: tuple[str, ...]  # of the settings, that it uses
    entry: str
    told: tuple[type[Exception], ...] = (ValueError, OSError)  # errors that are the user's to mend: one line, code 2
    rereads: bool = False
    program: str = ""  # as its help calls it; by default the file's name
    speaker: str = ""  # what its error messages begin with; by default ``program``


ON_RAY = (ValueError, RuntimeError, OSError)  # what jobs that ask a cluster for room tell

JOBS: dict[str, Job] = {
    "demo_data": Job(
        """Write the demo data set that a configuration names: real photographs, known damage, synthetic scores.""",
        ("data",),
        "halfiqa_ray.data.demo.make:run",
        program="python jobs/demo_data.py",
        speaker="demo data",
    ),
    "prepare": Job(
        """Read a data set (KonIQ-10k, SPAQ, a pyiqa-style list, or any folder of photos) into a manifest: photos
matched with their scores, train, validation and test. Rows and photos with problems are listed and left out; with
--strict the job refuses instead. Photos are decoded only where splits of our own need their spatial information.
Run it again to go on after a stop; when nothing changed it costs nothing.""",
        ("data", "compute"),
        "halfiqa_ray.pipelines.prepare:run",
        told=ON_RAY,
    ),
    "train": Job(
        """Train a model on the photos of a manifest that have MOS (jobs/prepare.py), with Ray Train; write the
best weights by validation PLCC and their agreement with MOS on every other split under OUTPUT/checkpoints.
Run it again to go on after a stop: it resumes at the last finished epoch, and a finished run returns at once.""",
        ("data", "model", "train"),
        "halfiqa_ray.training.train:job",
        told=ON_RAY,
    ),
    "tune": Job(
        """Try settings of a model and its training at random, with Ray Tune, each trial a fit by Ray Train; stop
those that fall behind in validation PLCC, and write the best settings as best.yaml, which jobs/train.py takes, and a
table of all trials under OUTPUT/tune. The test split is not looked at. Run it again to go on after a stop: trials go on
at their last finished epoch, and a finished search returns at once.""",
        ("data", "model", "train", "tune"),
        "halfiqa_ray.training.tune:job",
        told=ON_RAY,
    ),
    "rank": Job(
        """Score every subset of blocks of every photo in a manifest (jobs/prepare.py; a plain folder of photos
is prepared by this job) with a trained, positional masked TRIQ (jobs/train.py); write scores, block importance and
halves as Parquet, and the tables. In the same pass over each decoded photo it measures saliency, frequency and
objectness (as jobs/measure.py), and predicts the test photos with their halves set to zero with every model that has a
checkpoint (as jobs/zero.py); rank.measure and rank.zero switch these off. Halves that hang on other images
(control_other, image_plcc) get a second, smaller pass at the end. Run it again to go on after a stop: finished photos
are not scored again.""",
        ("data", "model", "train", "rank", "measure", "zero", "compute"),
        "halfiqa_ray.pipelines.rank:run",
        told=ON_RAY,
    ),
    "measure": Job(
        """Compute the semantic measures of every photo of a manifest (jobs/prepare.py): saliency, spatial
frequency, objectness and their average, as block means and the half of the blocks with the higher ones, as Parquet. The
photos, their size and the grid are those that jobs/rank.py has under the same settings; it measures them by itself
unless rank.measure is false. Run it again to go on after a stop: finished photos are not measured again.""",
        ("data", "model", "train", "rank", "measure", "compute"),
        "halfiqa_ray.pipelines.measure:run",
        told=ON_RAY,
    ),
    "zero": Job(
        """Predict every photo of the zero splits as it is, and with its important and its trivial half set to
zero after preprocessing, with every model that has a checkpoint; write the scores as Parquet. The halves are those that
jobs/rank.py and jobs/measure.py have stored under the same settings, and those of the controls; jobs/rank.py zeroes by
itself unless rank.zero is false. control_other and image_plcc hang on other images, so they get a second, smaller
pass. Run it again to go on after a stop, or for more rankings, models or fills (zero.fill): what is there is not
predicted again.""",
        ("data", "model", "train", "rank", "measure", "zero", "compute"),
        "halfiqa_ray.pipelines.zero:run",
        told=ON_RAY,
    ),
    "explain": Job(
        """Explain what every model's score of a photo comes from, by Grad-CAM and LIME (the paper's Figure 1),
for some of the photos that jobs/rank.py has ranked under the same settings: block means and halves, and small pixel
maps of the most telling ones, as Parquet. Then (unless explain.zero is false) zero those halves in every model, beside
the halves by the rule, the measures and the controls, on the same photos, write the tables of what is zeroed anew, and
print how much each half matters. Run it again to go on after a stop: what is there is not explained again.""",
        ("data", "model", "train", "rank", "measure", "zero", "explain", "report", "compute"),
        "halfiqa_ray.pipelines.explain:run",
        told=ON_RAY,
    ),
    "tables": Job(
        """Make the tables of a rank run anew from stored rows, as jobs/rank.py does at its end; no model is run.
Section 2, Table I with its controls, the averaged measure and Table II, each beside the paper's numbers; and from the
scores of all subsets: sufficiency curves, agreement of rules, measures and models, positions, interactions of blocks,
and, where planted defects are known, how well the halves find them. What was not measured (jobs/measure.py) or zeroed
(jobs/zero.py) is blank, with the reason. Each table is written below the output as Parquet, CSV and Markdown.""",
        ("data", "rank", "tables"),
        "halfiqa_ray.pipelines.aggregate:run",
    ),
    "report": Job(
        """Draw the figures of the newest rank run of every data set below the output (figures/DATASET/), and make
the report page, report/index.html: tables beside the paper's, figures, and a gallery whose photos open in an explorer
of all block subsets. The page is one file that opens from disk and fetches nothing. No model is run: what was not
measured or zeroed is named in its place. report.export writes photos with their halves masked as image files.""",
        ("data", "rank", "tables", "report"),
        "halfiqa_ray.report.report:run",
    ),
    "reproduce": Job(
        """Run an experiment (configs/experiments/): for every data set prepare the manifest, train every model or
take its checkpoint, then score every block subset, measure and zero in one stream, and write the tables. Run it again
to go on after a stop: what is done and unchanged is left alone.""",
        ("reproduce", "train", "rank", "zero", "measure", "compute"),
        "halfiqa_ray.pipelines.reproduce:run",
        told=ON_RAY,
        rereads=True,
    ),
    "import_checkpoint": Job(
        """Read published weights (TRIQ or AIHIQnet from Keras .h5, KonCept512 or DBCNN from a PyTorch state
dict) and write them as a checkpoint, model.safetensors and model.json, below --output. Nothing is unpickled. Every
tensor must match: if not, all that are missing, left over or of another shape are listed and nothing is written.
Rank with it by --rank.checkpoint FOLDER, which the job prints.""",
        ("published",),
        "halfiqa_ray.models.published.importing:run",
    ),
}


def run_job(name: str, arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    """Run a job of `JOBS` with command line words, by default this process's own. Returns the exit code.

    An error that the user can mend is one line on the standard error, and code 2. Exits with code 2 on an unknown or
    out-of-range setting, and with 0 after ``--help``. ``program`` stands in the help and before errors in place of the
    job's own name.
    """
    job = JOBS[name]
    end_quickly()
    words = sys.argv[1:] if arguments is None else arguments
    called = program or job.program or f"{name}.py"
    from halfiqa_ray.config import parse  # the list of jobs needs no settings

    read = partial(parse, called, job.description, job.sections)
    settings = read(words)
    try:
        entry = imported(job.entry)
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        told = "this job needs Ray (pip install 'ray[data,train,tune,default]'); halfiqa look and the library do not"
        print(f"{program or job.speaker or called}: {told}", file=sys.stderr)
        return 2
    try:
        return entry(read, words) if job.rereads else entry(settings)
    except job.told as error:
        print(f"{program or job.speaker or called}: {error}", file=sys.stderr)
        return 2


def imported(place: str) -> Callable[..., int]:
    """The function that ``module:function`` names, its module imported."""
    module, function = place.split(":")
    with no_collections():
        found: Any = getattr(import_module(module), function)
    return found
