"""A search's folder: what it was started with, its trials and how each ended, and its results. No Ray.

``tune/DATASET/MODEL/NAME/`` holds ``settings.json`` and ``draws.json`` from the first minute and a folder
``trials/NUMBER/`` a trial with its ``history.json``, ``tensorboard/``, ``decided.json`` (how many of its epochs the
search has judged) and, when it has ended, ``trial.json``; at the end ``best.yaml``, ``trials.md`` and, last,
``trials.parquet``. Until then ``trials/NUMBER/_train/`` holds what a resumed trial needs.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa
import yaml

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.models.fitting.training import EpochReport
from halfiqa_ray.tables.writing import NOTICE, aligned_table, markdown_table, number
from halfiqa_ray.training.run_folder import MACHINE, RunFolder, claim
from halfiqa_ray.training.search_space import Trial, with_values

State = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class Ended:
    """How a trial ended, and its best epoch: the one whose weights a training run would keep."""

    number: int
    state: State  # stopped: by the search, for others were better after as many epochs
    reason: str | None  # of a failure
    epochs: int  # in all stages
    seconds: float  # of these epochs, their validation included
    stage: str | None = None
    epoch: int | None = None  # of that stage, from 1
    plcc: float | None = None  # on validation
    srcc: float | None = None

    @classmethod
    def of(cls, number: int, state: State, reason: str | None, history: Sequence[EpochReport]) -> Ended:
        """A trial that ended with this history."""
        best = best_report(history)
        found = {name: getattr(best, name) for name in ("stage", "epoch", "plcc", "srcc")} if best else {}
        return cls(number, state, reason, len(history), sum(report.seconds for report in history), **found)


def best_report(history: Sequence[EpochReport]) -> EpochReport | None:
    """The best epoch of a fit: the last that was the best so far."""
    return next((report for report in reversed(history) if report.best), None)


def best_of(ended: Sequence[Ended]) -> Ended | None:
    """The trial with the highest validation PLCC at its best epoch, the first of equals; never a failed one."""
    fit = [one for one in ended if one.state != "failed" and one.plcc is not None]
    return max(fit, key=lambda one: (one.plcc, -one.number), default=None)


@dataclass(frozen=True)
class TuneFolder:
    """The files of one search below ``uri``."""

    uri: str

    @classmethod
    def of(cls, settings: Settings) -> TuneFolder:
        """The folder of the search that ``settings`` name."""
        return cls(
            storage.join(settings.output, "tune", settings.data.dataset, settings.model.name, settings.tune.name)
        )

    @property
    def ray(self) -> str:
        """Where Ray Tune keeps its own notes; nothing is read from it, and it is gone when the search is finished."""
        return storage.join(self.uri, "_ray")

    @property
    def table(self) -> str:
        """The table of trials; a search that has it is finished."""
        return storage.join(self.uri, "trials.parquet")

    @property
    def best(self) -> str:
        """The settings of the best trial."""
        return storage.join(self.uri, "best.yaml")

    def trial(self, number: int) -> RunFolder:
        """The folder of one trial."""
        return RunFolder(storage.join(self.uri, "trials", f"{number:04d}"))

    def claim(self, settings: Settings, split_hash: str) -> None:
        """Write down what this search is, or check that it is the same as before. Raises as `run_folder.claim` does."""
        now = {
            "seed": settings.seed,
            "split_hash": split_hash,
            "model": settings.model.model_dump(mode="json"),
            "train": settings.train.model_dump(mode="json", exclude={*MACHINE, "run"}),
            "tune": settings.tune.model_dump(mode="json", exclude={"name", "concurrent"}),
        }
        claim(self.uri, "tune.name", settings.tune.name, now)

    def write_draws(self, trials: Sequence[Trial], refused: Sequence[str]) -> None:
        """Write down the trials, and why other combinations were refused."""
        value = {"trials": [asdict(trial) for trial in trials], "refused": list(refused)}
        storage.write_json(storage.join(self.uri, "draws.json"), value)

    def draws(self) -> tuple[list[Trial], list[str]] | None:
        """The trials as they were drawn when the search was started first, and the reasons of refusals."""
        file = storage.join(self.uri, "draws.json")
        if not storage.exists(file):
            return None
        value = storage.read_json(file)
        return [Trial(**trial) for trial in value["trials"]], value["refused"]

    def decide(self, number: int, epochs: int) -> None:
        """Write down that the search has let a trial go on after so many epochs, or stopped it."""
        storage.write_json(storage.join(self.trial(number).uri, "decided.json"), {"epochs": epochs})

    def decided(self, number: int) -> list[EpochReport]:
        """The epochs after which the search has decided on a trial; its workers may have run more."""
        file = storage.join(self.trial(number).uri, "decided.json")
        return self.trial(number).history()[: storage.read_json(file)["epochs"]] if storage.exists(file) else []

    def end(self, ended: Ended) -> None:
        """Write down how a trial ended."""
        storage.write_json(storage.join(self.trial(ended.number).uri, "trial.json"), asdict(ended))

    def ended(self, numbers: Sequence[int]) -> list[Ended]:
        """Those of these trials that have ended."""
        files = [storage.join(self.trial(number).uri, "trial.json") for number in numbers]
        return [Ended(**storage.read_json(file)) for file in files if storage.exists(file)]

    def write_results(self, settings: Settings, trials: Sequence[Trial], synthetic: bool) -> None:
        """Write the results of a search whose trials have all ended."""
        ended = self.ended([trial.number for trial in trials])
        best = best_of(ended)
        if best is not None:
            values = next(trial.values for trial in trials if trial.number == best.number)
            storage.write_text(self.best, best_yaml(settings, values, best, synthetic))
        table = trials_table(trials, ended, synthetic)
        storage.write_text(storage.join(self.uri, "trials.md"), trials_markdown(settings, table))
        storage.write_table(self.table, table)


def trials_table(trials: Sequence[Trial], ended: Sequence[Ended], synthetic: bool) -> pa.Table:
    """One row a trial: the columns of `schema.TRIALS`, then one a setting that was searched, under its name."""
    table = pa.Table.from_pylist([asdict(one) for one in ended], schema.TRIALS)
    for name in trials[0].values:
        table = table.append_column(name, _column([trial.values[name] for trial in trials]))
    return table.cast(schema.with_metadata(table.schema, {"synthetic": synthetic}))


def _column(values: list[Any]) -> pa.Array:
    """Values of one setting; as JSON where they are of different kinds."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([json.dumps(value) for value in values])


def best_yaml(settings: Settings, values: Mapping[str, Any], best: Ended, synthetic: bool) -> str:
    """The sections ``model`` and ``train`` with the best values, as YAML that jobs/train.py takes.

    Settings of the machine (`MACHINE`) are left to the user.
    """
    tune, chosen = settings.tune, with_values(settings, values)
    told = [
        f"Trial {best.number} of {tune.trials} of the search {tune.name} of {settings.model.name} on "
        f"{settings.data.dataset}, seed {settings.seed}: validation PLCC {number(best.plcc)} at epoch {best.epoch} of "
        f"stage {best.stage}. The highest of many is a little too high: expect less with another seed. The test split "
        f"was not looked at.",
        "Searched: " + ", ".join(f"{name} {value}" for name, value in values.items()),
        f"Command: python jobs/train.py --config DATA.yaml --config {TuneFolder.of(settings).best}",
    ]
    if synthetic:
        told.insert(0, NOTICE)
    lines = [line for paragraph in told for line in textwrap.wrap(paragraph, 118, break_on_hyphens=False)]
    sections = {
        "model": chosen.model.model_dump(mode="json"),
        "train": chosen.train.model_dump(mode="json", exclude=set(MACHINE)) | {"run": tune.name},
    }
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(sections, sort_keys=False)


def _cells(table: pa.Table) -> tuple[list[str], list[list[str]]]:
    """Header and rows for a person, the best trial first and the failed ones last."""
    names = table.column_names[len(schema.TRIALS) :]
    rows = sorted(
        table.to_pylist(),
        key=lambda row: (row["state"] == "failed", -2 if row["plcc"] is None else -row["plcc"], row["number"]),
    )
    header = ["trial", *names, "state", "epochs", "best epoch", "validation PLCC", "SRCC", "seconds", "reason"]
    cells = [
        [
            str(row["number"]),
            *(str(row[name]) for name in names),
            row["state"],
            str(row["epochs"]),
            f"{row['stage']} {row['epoch']}" if row["stage"] else "",
            number(row["plcc"]),
            number(row["srcc"]),
            number(row["seconds"], 0),
            row["reason"] or "",
        ]
        for row in rows
    ]
    return header, cells


def trials_markdown(settings: Settings, table: pa.Table) -> str:
    """The page of a search."""
    tune, synthetic = settings.tune, schema.metadata(table.schema)["synthetic"]
    space = [f"- `{name}`: {kind} {values}" for name, ways in tune.space.items() for kind, values in ways.items()]
    return "\n".join(
        [
            f"# Search {tune.name}: {settings.model.name} on {settings.data.dataset}",
            "",
            *([f"**{NOTICE}**", ""] if synthetic else []),
            f"{tune.trials} trials drawn at random with seed {settings.seed}; after {tune.grace_epochs} epochs, and "
            f"whenever their number has grown {tune.reduction}-fold, a trial went on when it was among the best "
            f"1/{tune.reduction} of those before it (ASHA). PLCC and SRCC are those of the validation split at a "
            f"trial's best epoch; the test split was not looked at. Seconds are those of the epochs.",
            "",
            *space,
            "",
            markdown_table(*_cells(table)),
            "",
        ]
    )


def trials_text(table: pa.Table) -> str:
    """The table of trials for a terminal."""
    return aligned_table(*_cells(table))
