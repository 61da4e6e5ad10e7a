"""All settings together, and how they are read from YAML files and the command line.

Each job takes its sections from YAML (``--config a.yaml``) and from the command line (``--rank.grid.rows 3``).
One YAML file may serve several jobs: a job reads the sections it needs, and the others are still checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser
from pydantic import BaseModel, Field, ValidationError

from halfiqa_ray.config import files
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


class Settings(Section):
    """All sections together."""

    output: str = Field("results", description="Folder or URI under which every result is written.")
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
    out-of-range setting.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser(program, description, sections, only=not {"-h", "--help"}.isdisjoint(words))
    try:
        words = files.with_found(words)
    except ValueError as error:
        parser.error(str(error))
    try:
        read = parser.instantiate(parser.parse_args(words))
    except ValidationError as error:  # of settings that only together are wrong
        parser.error("; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors()))
    return Settings(**{name: getattr(read, name) for name in Settings.model_fields})


def make_parser(program: str, description: str, sections: Sequence[str], only: bool = False) -> ArgumentParser:
    """The parser of a job that uses some sections. With ``only``, the others are left out: for help and completion."""
    parser = ArgumentParser(
        prog=program, description=description, usage=f"{program} [--config FILE.yaml] [--SECTION.NAME VALUE ...]"
    )
    parser.add_argument(
        "--config",
        action="config",
        help="YAML file with settings, or the name of one that comes with the package, such as data/biq2021; later "
        "ones and flags win.",
    )
    for name, field in Settings.model_fields.items():
        if only and isinstance(field.default, Section) and name not in sections:
            continue
        if field.annotation is bool:
            parser.add_argument(f"--{name}", action="store_true", help=field.description)
        else:
            kind: Any = field.annotation
            parser.add_argument(f"--{name}", type=kind, default=field.default, help=field.description)
    for action in parser._actions:
        section = action.dest.split(".")[0]
        is_group = isinstance(getattr(Settings.model_fields.get(section), "default", None), Section)
        if is_group and section not in sections:
            action.help = argparse.SUPPRESS
    return parser


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value or settings section, independent of key order."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
