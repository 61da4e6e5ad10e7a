"""Every setting of every job: what it means, its default and its bounds, in one place."""

from halfiqa_ray.config.compute import ComputeSettings
from halfiqa_ray.config.data import DataSettings
from halfiqa_ray.config.fitting import StageSettings, TrainSettings, TuneSettings
from halfiqa_ray.config.models import (
    AihiqnetSettings,
    BackboneSettings,
    DbcnnSettings,
    KonceptSettings,
    ModelSettings,
    OutsideSettings,
    PublishedSettings,
    SwinIqaSettings,
    TriqSettings,
)
from halfiqa_ray.config.names import Name, checked_name
from halfiqa_ray.config.results import ExperimentSettings, ReportSettings, ReproduceSettings, TablesSettings
from halfiqa_ray.config.scoring import (
    FILLS,
    ExplainSettings,
    Fill,
    FrequencySettings,
    GridSettings,
    LimeSettings,
    MeasureSettings,
    ObjectnessSettings,
    RankSettings,
    Rule,
    SaliencySettings,
    ZeroSettings,
)
from halfiqa_ray.config.section import Section
from halfiqa_ray.config.settings import Settings, fingerprint, from_files, parse
from halfiqa_ray.config.uris import Uri, checked_uri

__all__ = [
    "FILLS",
    "AihiqnetSettings",
    "BackboneSettings",
    "ComputeSettings",
    "DataSettings",
    "DbcnnSettings",
    "ExperimentSettings",
    "ExplainSettings",
    "Fill",
    "FrequencySettings",
    "GridSettings",
    "KonceptSettings",
    "LimeSettings",
    "MeasureSettings",
    "ModelSettings",
    "Name",
    "ObjectnessSettings",
    "OutsideSettings",
    "PublishedSettings",
    "RankSettings",
    "ReportSettings",
    "ReproduceSettings",
    "Rule",
    "SaliencySettings",
    "Section",
    "Settings",
    "StageSettings",
    "SwinIqaSettings",
    "TablesSettings",
    "TrainSettings",
    "TriqSettings",
    "TuneSettings",
    "Uri",
    "ZeroSettings",
    "checked_name",
    "checked_uri",
    "fingerprint",
    "from_files",
    "parse",
]
