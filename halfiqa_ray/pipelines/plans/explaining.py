"""What a run of explaining is: which models and images, of which of them pixel maps, which halves are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import sample
from halfiqa_ray.explain.lime import check_installed
from halfiqa_ray.pipelines.plans.checkpoints import Checkpoint, find_checkpoints
from halfiqa_ray.pipelines.plans.measures import MeasurePlan
from halfiqa_ray.pipelines.plans.run import Plan, about_model
from halfiqa_ray.pipelines.plans.zeroing import DRAWN, OWN_CONTROLS, ZeroPlan, of_chosen_splits, plan_rankings
from halfiqa_ray.report.figures.choose import read_halved
from halfiqa_ray.stages.keys import explain_key, maps_key
from halfiqa_ray.stages.measures import MapMeasures
from halfiqa_ray.stages.outputs import explain_output, maps_output
from halfiqa_ray.stages.parts import Output, errors_uri, run_uri
from halfiqa_ray.stages.work import Explainer, rule_halves
from halfiqa_ray.tables.stored.reading import find_run


@dataclass(frozen=True)
class ExplainPlan:
    """A run of explaining: some of ``models``, those with numbers in ``explained``, on some ``images``."""

    plan: Plan
    measure: MeasurePlan | None  # whose pixel maps are stored too
    models: tuple[Checkpoint, ...]  # of the stream: those that are explained, and those that zero the same images
    explained: tuple[int, ...]
    images: pa.Table  # manifest rows
    mapped: frozenset[str]  # of them those with pixel maps
    notes: tuple[str, ...]  # for the user: what was left out and why

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods of the settings."""
        return tuple(method for method in schema.EXPLANATIONS if method in self.plan.settings.explain.methods)

    def methods_of(self, number: int) -> tuple[str, ...]:
        """Those of them that can explain a model."""
        return tuple(method for method in self.methods if method in self.models[number].methods)

    @cached_property
    def image_ids(self) -> frozenset[str]:
        """The images that are explained."""
        return frozenset(self.images["image_id"].to_pylist())

    @cached_property
    def keys(self) -> dict[int, str]:
        """The full key of every explained model's rows."""
        settings = self.plan.settings
        return {
            number: explain_key(self.models[number].record, settings.rank, settings.explain.lime, settings.seed)
            for number in self.explained
        }

    @cached_property
    def key(self) -> str:
        """The full key of the whole run, and of its pixel maps."""
        measure_key = self.measure.key if self.measure else None
        return maps_key(list(self.keys.values()), self.methods, self.plan.key, measure_key)

    @cached_property
    def maps_folder(self) -> str:
        """Folder of the pixel maps."""
        return run_uri(self.plan.settings.output, "maps", self.plan.settings.data.dataset, self.key)

    @cached_property
    def errors(self) -> str:
        """Folder of the run's errors."""
        return errors_uri(self.plan.settings.output, "explain", self.plan.settings.data.dataset, self.key)

    @cached_property
    def explainers(self) -> tuple[Explainer, ...]:
        """The models that are explained."""
        settings = self.plan.settings
        dataset = storage.join(settings.output, "explain", f"dataset={settings.data.dataset}")
        return tuple(
            Explainer(number, name, storage.join(dataset, f"model={name}", f"run={key[:8]}"), self.methods_of(number))
            for number, key in self.keys.items()
            for name in [self.models[number].record.model.name]
        )

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The pixel maps, then a table a model."""
        settings, about = self.plan.settings, self.plan.about_photos
        explaining: dict[str, Any] = {"lime": settings.explain.lime.model_dump(mode="json"), "seed": settings.seed}
        found = []
        for each in self.explainers:
            model, key = self.models[each.number], self.keys[each.number]
            metadata = about | about_model(model.uri, model.record, about) | model.about | explaining
            metadata |= {"run_key": key, "size": list(model.size)}
            found.append(explain_output(each.folder, each.number, self.plan.blocks, metadata))
        maps = (
            about
            | explaining
            | {
                "run_key": self.key,
                "rank_key": self.plan.key,
                "measure_key": self.measure.key if self.measure else None,
                "measure_settings": settings.measure.model_dump(mode="json") if self.measure else None,
                "explain_keys": {each.name: self.keys[each.number] for each in self.explainers},
                "synthetic": about["synthetic"] or any(self.models[n].record.synthetic for n in self.explained),
            }
        )
        return (maps_output(self.maps_folder, maps), *found)

    @cached_property
    def measure_maps(self) -> MapMeasures | None:
        """The stage that makes pixel maps of measures."""
        return MapMeasures(self.plan.settings.measure, self.measure.band_means) if self.measure else None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a run record says."""
        return {
            "models": {each.name: self.models[each.number].uri for each in self.explainers},
            "methods": list(self.methods),
            "folders": [output.folder for output in self.outputs],
        }

    def announcement(self, photos: int, mapped: int) -> list[str]:
        """Lines that say what is going to be done."""
        lime = self.plan.settings.explain.lime
        numbers = f" of {lime.samples} samples over about {lime.segments} superpixels" if "lime" in self.methods else ""
        names = [each.name for each in self.explainers]
        return [
            f"  explaining: {photos} photos, {len(names)} models ({', '.join(names)}), "
            f"{', '.join(self.methods)}{numbers}; pixel maps of {mapped} photos",
            *(f"    {note}" for note in self.notes),
        ]


def plan_explaining(plan: Plan, measure: MeasurePlan | None) -> tuple[ExplainPlan, ZeroPlan | None]:
    """The run of the settings, and the zeroing that compares its halves with others on the same images.

    Raises ValueError when no image of the splits is ranked, for settings that name what does not exist or two
    checkpoints of one model; MissingPackageError without LIME's packages.
    """
    settings = plan.settings
    if "lime" in settings.explain.methods:
        check_installed()
    models, explained = _models(plan)
    notes = [] if measure else ["no measures among the maps and the halves: run jobs/measure.py first"]
    explained, told = _explainable(models, explained, settings.explain.methods)
    notes += told
    # Those that are zeroed: other images would stand in Table I beside them.
    own = settings.explain.splits
    rows = of_chosen_splits(plan, own or settings.zero.splits, "explain.splits" if own else "zero.splits")
    within = set(plan.rows["image_id"].to_pylist())
    ranked = rule_halves(plan.folder, ())
    there = [i for i in rows["image_id"].to_pylist() if i in ranked and i in within]
    if not there:
        raise ValueError(
            f"no image of the explain splits has a rank row in {plan.folder}: run jobs/rank.py with the same settings "
            f"first"
        )
    compared = sample(there, settings.explain.images, settings.seed, DRAWN)
    shown = [i for i in settings.report.images if i in ranked]
    if unknown := [i for i in settings.report.images if i not in ranked]:
        notes.append(f"report.images: {', '.join(unknown)} not ranked in {settings.data.dataset}, left out")
    explain = ExplainPlan(
        plan,
        measure,
        models,
        explained,
        images=_rows(plan.manifest, {*compared, *shown}),
        mapped=frozenset([*_most_telling(plan, compared), *shown]),
        notes=tuple(notes),
    )
    if not settings.explain.zero:
        return explain, None
    return explain, _comparison(explain, _rows(plan.manifest, set(compared)))


def _models(plan: Plan) -> tuple[tuple[Checkpoint, ...], tuple[int, ...]]:
    """All models of the stream, one of each name, in its order; and the numbers of those that are explained."""
    settings = plan.settings
    explained = find_checkpoints(plan, settings.explain.models)
    zeroed = find_checkpoints(plan, settings.zero.models) if settings.explain.zero else ()
    models: dict[str, Checkpoint] = {}
    for place, model in enumerate((*explained, *zeroed)):
        name = model.record.model.name
        other = models.setdefault(name, model)
        by_default = place >= len(explained) and not settings.zero.models
        if other.record.weights_sha256 != model.record.weights_sha256 and not by_default:
            raise ValueError(
                f"explain.models and zero.models name two checkpoints of {name}, {other.uri} and {model.uri}: "
                f"explanations are told apart by the model's name, so name one of them"
            )
    names = sorted(models)
    of_explained = {model.record.model.name for model in explained}
    return tuple(models[name] for name in names), tuple(n for n, name in enumerate(names) if name in of_explained)


def _explainable(
    models: Sequence[Checkpoint], explained: Sequence[int], methods: Sequence[str]
) -> tuple[tuple[int, ...], list[str]]:
    """Those of the numbers ``explained`` that some method can explain, and what is to be said of the rest."""
    left, notes = [], []
    for number in explained:
        name, able = models[number].record.model.name, [m for m in methods if m in models[number].methods]
        if able:
            left.append(number)
        if len(able) < len(methods):
            rest = f"{', '.join(able)} only" if able else "not explained"
            notes.append(f"{name}: {rest}; grad_cam needs model.outside.layer, a layer of an nn.Module")
    if not left:
        raise ValueError(f"explain.methods has nothing that can explain {'; '.join(notes)}: add lime")
    return tuple(left), notes


def _comparison(explain: ExplainPlan, images: pa.Table) -> ZeroPlan:
    """Halves by the ranking model's explanations in every model, by another model's own in that one; and the rest."""
    plan, measure = explain.plan, explain.measure
    measures = measure.main if measure else ()
    asked = [plan.settings.rank.rule, "score_change", *measures, *OWN_CONTROLS, "control_other"]
    zero = plan_rankings(plan, explain.models, measure, images, asked, {})
    names: list[str] = []
    own: dict[str, int] = {}
    for each in explain.explainers:
        rankings = [schema.explained(method, each.name) for method in each.methods]
        names += rankings
        if explain.models[each.number].record.weights_sha256 != plan.record.weights_sha256:
            own |= dict.fromkeys(rankings, each.number)
    return replace(zero, rankings=(*zero.rankings, *names), own=own)


def _most_telling(plan: Plan, image_ids: Sequence[str]) -> list[str]:
    """The ``explain.maps`` most telling of some ranked images."""
    settings = plan.settings
    rule = settings.rank.rule if settings.rank.rule in schema.IMAGE_RULES else "score_change"
    halved = read_halved(settings.output, find_run(settings.output, settings.data.dataset, plan.key), rule)
    return [halved.images.image_id[at] for at in halved.first(halved.gap_N, settings.explain.maps, image_ids)]


def _rows(manifest: pa.Table, image_ids: set[str]) -> pa.Table:
    return manifest.filter(pa.array([i in image_ids for i in manifest["image_id"].to_pylist()], pa.bool_()))
