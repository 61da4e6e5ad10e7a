"""All settings together, and how they are read from YAML files and the command line.

Each job takes its sections from YAML (``--config a.yaml``) and from the command line (``--rank.grid.rows 3``).
One YAML file may serve several jobs: a job reads the sections it needs, and the others are still checked.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from halfiqa_ray import terminal
from halfiqa_ray.config import command_line, files
from halfiqa_ray.config.command_line import Step, from_file, shown, value_of
from halfiqa_ray.config.compute import ComputeSettings
from halfiqa_ray.config.data import DataSettings
from halfiqa_ray.config.fitting import TrainSettings, TuneSettings
from halfiqa_ray.config.models import (
    ModelSettings,
    PublishedSettings,
)
from halfiqa_ray.config.results import ReportSettings, ReproduceSettings, TablesSettings
from halfiqa_ray.config.scoring import (
    ExplainSettings,
    MeasureSettings,
    RankSettings,
    ZeroSettings,
)
from halfiqa_ray.config.section import Section
from halfiqa_ray.config.uris import Uri
from halfiqa_ray.config.yaml_file import SettingsError


class Settings(Section):
    """All sections together."""

    output: Uri = Field("results", description="Folder or URI under which every result is written.")
    seed: int = Field(1, ge=0, description="The one seed; all randomness comes from it.")
    strict: bool = Field(False, description="Any row or photo with a problem makes the job fail (exit code 1).")
    force: bool = Field(
        False, description="Take a folder of results from another job that seems to be still at work on it."
    )
    verbose: bool = Field(
        False, description="Print every table in the end, not only the few numbers that matter; tables.py does it anew."
    )
    data: DataSettings = Field(DataSettings(), description="The photos and their scores.")
    model: ModelSettings = Field(ModelSettings(), description="The quality model.")
    train: TrainSettings = Field(TrainSettings(), description="Fitting a model.")
    tune: TuneSettings = Field(TuneSettings(), description="Searching the settings of a fit.")
    published: PublishedSettings = Field(PublishedSettings(), description="Weights that others published.")
    rank: RankSettings = Field(RankSettings(), description="Scoring every block subset.")
    measure: MeasureSettings = Field(MeasureSettings(), description="The semantic measures.")
    zero: ZeroSettings = Field(ZeroSettings(), description="Halves set to zero.")
    tables: TablesSettings = Field(TablesSettings(), description="Tables from stored results.")
    explain: ExplainSettings = Field(ExplainSettings(), description="Explanations of scores.")
    report: ReportSettings = Field(ReportSettings(), description="Figures and the page.")
    reproduce: ReproduceSettings = Field(ReproduceSettings(), description="A whole experiment.")
    compute: ComputeSettings = Field(ComputeSettings(), description="Machine and cluster.")

    def below_output(self, path: str) -> str:
        """What a path in the settings of results means: an absolute one or a URI itself, others lie below the output.

        So it means the same wherever a job is started, and on a cluster too, which has the output and not that folder.
        """
        if "://" in path or path.startswith(("/", "~")):
            return path
        return f"{self.output.rstrip('/')}/{path}"


def parse(program: str, description: str, sections: Sequence[str], arguments: Sequence[str] | None = None) -> Settings:
    """Read settings from the command line and ``--config`` files (`files.find`).

    ``sections`` names the sections that this job uses: ``--help`` shows those; the others are accepted and
    checked, so that one YAML serves all jobs. Exits with code 2 and one clear line on an unknown or
    out-of-range setting. The terminal is made ready first (`terminal.prepare`): every job comes by here.
    """
    terminal.prepare()
    try:
        words = files.with_found(sys.argv[1:] if arguments is None else arguments)
        return _settled(command_line.steps(program, description, sections, Settings, words))
    except ValueError as error:
        print(f"{program}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def from_files(*names: str) -> Settings:
    """The settings of files (`files.find`), later ones over earlier. Raises ValueError that names file and line."""
    return _settled([Step("", "--config", files.find(name)) for name in names])


def _settled(steps: Sequence[Step]) -> Settings:
    """The settings that some steps, one after the other, make of the defaults. Raises SettingsError."""
    plain, sources = Settings().model_dump(), {}
    for step in steps:
        leaves = [(step.name, step.source, step.text)] if step.name else from_file(step.text, Settings)
        for name, source, given in leaves:
            place = plain
            *above, last = name.split(".")
            for each in above:
                place = place[each]
            place[last] = value_of(name, source, given, Settings)
            sources[name] = (source, given)
    try:
        return Settings.model_validate(plain)
    except ValidationError as error:
        raise SettingsError("; ".join(_told(problem, sources) for problem in error.errors())) from None


def _told(problem: Any, sources: dict[str, tuple[str, Any]]) -> str:
    """One of pydantic's complaints in words of a settings file."""
    place, reason = [str(part) for part in problem["loc"]], problem["msg"].removeprefix("Value error, ")
    reason = reason.replace("Input should be", "it must be")
    if problem["type"] == "string_pattern_mismatch":
        reason = f"it must match {problem['ctx']['pattern']}"
    for count in range(len(place), 0, -1):
        name = ".".join(place[:count])
        if name in sources:
            source, given = sources[name]
            return f"{source}: {name} is {shown(given)}: {reason}"
    return f"{'.'.join(place)}: {reason}"  # settings that only together are wrong


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value or settings section, independent of key order."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
