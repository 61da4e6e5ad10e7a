"""A whole experiment: prepare all data sets, train all models, then for every data set rank, measure and zero in one
stream, tables, explanations; in the end the figures and the page.

Each stage knows by itself what is done already and leaves it alone, so the same command goes on after a stop, and
costs little when nothing has changed. A checkpoint that lies where a training run would put its own is taken as given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from halfiqa_ray.config import Settings
from halfiqa_ray.models.checkpoints import CheckpointRecord
from halfiqa_ray.pipelines import explain, prepare, rank
from halfiqa_ray.report import report
from halfiqa_ray.runtime.progress import duration
from halfiqa_ray.runtime.record import stops_are_recorded
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.runtime.side_by_side import side_by_side
from halfiqa_ray.training import train


def run(read: Callable[[Sequence[str]], Settings], arguments: Sequence[str]) -> int:
    """Run the experiment that the command line names. Returns the exit code: the highest of all stages'.

    ``read`` makes settings of command line words, as those of ``arguments`` with further files laid over them.
    Raises ValueError when the experiment has no data set or model, and what the stages raise.
    """

    def settings_of(*files: str) -> Settings:
        return read(laid_over(arguments, files))

    given = settings_of().reproduce
    experiments, at_once = given.experiments, given.at_once
    if not experiments or not all(experiment.models for experiment in experiments):
        raise ValueError(
            "reproduce.experiments names no data set, or one without models; give a file of configs/experiments/"
        )
    # Every mistake in any file shows before the first photo is opened.
    planned = [
        (settings_of(*one.data, *one.models[0]), [settings_of(*one.data, *files) for files in one.models])
        for one in experiments
    ]
    summary: list[str] = []

    def stage(name: str, work: Callable[[], Any]) -> Any:
        print(f"== {name}\n", end="", flush=True)  # one write: another training may print at the same time
        started = time.monotonic()
        result = work()
        said = f"  {agreement_in(result)}" if isinstance(result, CheckpointRecord) else ""
        summary.append(f"{duration(time.monotonic() - started):>12}  {name}{said}")
        return result

    def fit(settings: Settings) -> None:
        dataset, model = settings.data.dataset, settings.model.name
        name = f"{dataset} {model} " if at_once > 1 else ""
        stage(f"{dataset}: train {model}", partial(train.run, settings, name))

    codes = []
    with ray_session(planned[0][0]), stops_are_recorded():
        codes += [stage(f"{base.data.dataset}: prepare", partial(prepare.run, base)) for base, _ in planned]
        side_by_side([partial(fit, settings) for _, models in planned for settings in models], at_once)
        for base, _ in planned:
            dataset = base.data.dataset
            codes.append(stage(f"{dataset}: rank, measure, zero, tables", partial(rank.run, base)))
            if base.reproduce.explain:
                codes.append(stage(f"{dataset}: explain", partial(explain.run, base)))
    outputs = {base.output: base for base, _ in planned if base.reproduce.report}
    codes += [stage("figures and page", partial(report.run, base)) for base in outputs.values()]
    print("\n".join(["== what was done", *summary]), flush=True)
    return max(codes)


def laid_over(arguments: Sequence[str], files: Sequence[str]) -> list[str]:
    """The command line with ``files`` read after its own ``--config`` files, so that its flags still win."""
    configs: list[str] = []
    flags: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--config":
            configs += [word, next(words, "")]
        elif word.startswith("--config="):
            configs.append(word)
        else:
            flags.append(word)
    return [*configs, *(word for file in files for word in ("--config", file)), *flags]


def agreement_in(record: CheckpointRecord) -> str:
    """PLCC of every split not trained on, in a few words."""
    found = (f"{split} {metrics.plcc:.3f}" for split, metrics in record.metrics.items() if metrics.plcc is not None)
    return "PLCC " + ", ".join(found) if record.metrics else ""
