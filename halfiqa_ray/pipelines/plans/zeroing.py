"""What a run of zeroing is: which models, which rankings, which images, and where the rows go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Rule, fingerprint
from halfiqa_ray.data.manifest import sample
from halfiqa_ray.masking.controls import other_images, random_order
from halfiqa_ray.masking.fills import check_installed
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import image_plcc_importance, important_half
from halfiqa_ray.pipelines.plans.checkpoints import Checkpoint
from halfiqa_ray.pipelines.plans.measures import MeasurePlan
from halfiqa_ray.pipelines.plans.run import Plan, about_model, of_splits
from halfiqa_ray.stages.keys import zeroed_key
from halfiqa_ray.stages.outputs import zeroed_output
from halfiqa_ray.stages.parts import Output, errors_uri
from halfiqa_ray.stages.work import rule_halves
from halfiqa_ray.stages.zeroing import Halves
from halfiqa_ray.tables.stored.curves import UNDEFINED, kept_by_importance, read_importance
from halfiqa_ray.tables.stored.derived import Explained, read_explanations, read_measures_of
from halfiqa_ray.tables.stored.reading import find_run, read_images
from halfiqa_ray.tables.stored.scan import scan

# Halves that need nothing but the image itself, and those that need the other images' scores first.
OWN_CONTROLS = ("control_random", "control_centre")
AFTER_ALL = ("control_other", "image_plcc")
RANDOM = "control_random"
DRAWN = "zeroed"  # purpose of a sample of photos, of all jobs: the smaller one is part of the larger


@dataclass(frozen=True)
class ZeroPlan:
    """A run of zeroing. ``rankings`` are found in the stream, ``after`` in a second one over the same images.

    Of rankings in ``own`` only one model is asked, by its number in ``models``.
    """

    plan: Plan
    measure: MeasurePlan | None  # whose halves may be asked for
    models: tuple[Checkpoint, ...]
    rankings: tuple[str, ...]
    after: tuple[str, ...]
    images: pa.Table  # manifest rows
    notes: tuple[str, ...]  # for the user: what was left out and why
    single_blocks: Mapping[str, Halves]  # images whose single blocks are zeroed, as halves that are not looked at
    own: Mapping[str, int] = field(default_factory=dict)
    fills: tuple[str, ...] = (schema.ZERO,)
    curves: tuple[str, ...] = ()  # rankings along whose orders blocks are filled, in the second stream
    # Stored explanations that are orders too, each for its own model alone.
    explained: tuple[Explained, ...] = ()

    @property
    def key(self) -> str:
        """The key of the run whose halves are zeroed."""
        return self.plan.key

    @cached_property
    def curve_fills(self) -> tuple[str, ...]:
        """The fills along orders: with all blocks filled there is nothing to inpaint from."""
        return tuple(fill for fill in self.fills if fill != "inpaint") if self.curves else ()

    @property
    def curve_passes(self) -> int:
        """Forward passes along all orders, of one image in all models."""
        orders = len(self.curves) * len(self.models) + len(self.explained)
        return (2 * self.plan.blocks - 1) * orders * len(self.curve_fills)

    @property
    def own_orders(self) -> dict[str, int]:
        """The orders of which only one model is asked, by its number."""
        numbers = {model.record.model.name: number for number, model in enumerate(self.models)}
        return {schema.ORDER + one.name: numbers[one.model] for one in self.explained}

    @cached_property
    def errors(self) -> str:
        """Folder of the errors of the zero job: its own for these models, as others have other ones."""
        of_run = errors_uri(self.plan.settings.output, "zero", self.plan.settings.data.dataset, self.plan.key)
        return storage.join(of_run, f"models={fingerprint(sorted(output.folder for output in self.outputs))[:8]}")

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """A table a model."""
        settings, measure_key = self.plan.settings, self.measure.key if self.measure else None
        dataset = storage.join(settings.output, "zeroed", f"dataset={settings.data.dataset}")
        found = []
        for number, model in enumerate(self.models):
            key = zeroed_key(model.record, self.plan.key, measure_key, settings.seed, settings.compute.precision)
            folder = storage.join(dataset, f"model={model.record.model.name}", f"run={key[:8]}")
            about: dict[str, Any] = (
                about_model(model.uri, model.record, self.plan.about_photos)
                | model.about
                | {
                    "run_key": key,
                    "rank_key": self.plan.key,
                    "measure_key": measure_key,
                    "rank_model": self.plan.record.model.name,
                    "rank_checkpoint": self.plan.checkpoint,
                    "size": list(model.size),
                    "seed": settings.seed,
                    "precision": settings.compute.precision,
                }
            )
            found.append(zeroed_output(folder, number, self.plan.about_photos | about))
        return tuple(found)

    def given_halves(self) -> dict[str, Halves]:
        """The half of every image by the rankings of ``after``, from what is stored of all images."""
        rule = self.plan.settings.rank.rule
        given: dict[str, Halves] = {}
        if "control_other" in self.after:
            own = {i: halves[rule] for i, halves in rule_halves(self.plan.folder, [rule]).items() if rule in halves}
            # Partners are of the whole split, however many images of it are zeroed here.
            splits = set(self.images["split"].to_pylist())
            pool = self.plan.manifest.filter([split in splits for split in self.plan.manifest["split"].to_pylist()])
            given["control_other"] = other_halves(pool, own, self.plan.settings.seed)
        if "image_plcc" in self.after and (half := _image_plcc_half(self.plan)):
            given["image_plcc"] = dict.fromkeys(self.images["image_id"].to_pylist(), half)
        return given

    def given_orders(self) -> dict[str, dict[str, list[int]]]:
        """By ranking (order_...) and image the first 1 .. B blocks as masks, from what is stored of all images."""
        if not self.curves:
            return {}
        settings = self.plan.settings
        grid = Grid(settings.rank.grid.rows, settings.rank.grid.columns)
        run = find_run(settings.output, settings.data.dataset, self.plan.key)
        images = read_images(run)
        importance = read_importance(images, grid)
        weights = {rule: (importance[rule], images.halves[rule]) for rule in importance}
        if self.measure:
            measured = read_measures_of(self.measure.folder, run, images)
            weights |= {one.name: (one.means_NK, one.high_N) for one in measured}
        weights |= {one.name: (one.means_NK, one.high_N) for one in self.explained}
        given: dict[str, dict[str, list[int]]] = {}
        for ranking in (*self.curves, *(one.name for one in self.explained)):
            if ranking == RANDOM:
                orders = (random_order(grid, image_id, settings.seed) for image_id in images.image_id)
                first_NK = np.cumsum([[1 << block for block in order] for order in orders], axis=1)
            else:
                first_NK = kept_by_importance(*weights[ranking])
            there = zip(images.image_id, first_NK.tolist(), strict=True)
            given[schema.ORDER + ranking] = {image_id: first for image_id, first in there if first[0] != UNDEFINED}
        return given


def plan_zeroing(plan: Plan, models: tuple[Checkpoint, ...], measure: MeasurePlan | None) -> ZeroPlan:
    """The run of the settings.

    Raises ValueError for rankings or splits that do not exist, and for a fill that needs what is not installed.
    """
    settings = plan.settings
    if "inpaint" in settings.zero.fill:
        check_installed()
    images = of_chosen_splits(plan, settings.zero.splits, "zero.splits")
    if settings.zero.images is not None:
        within = set(plan.rows["image_id"].to_pylist())
        there = [image_id for image_id in images["image_id"].to_pylist() if image_id in within]
        drawn = set(sample(there, settings.zero.images, settings.seed, DRAWN))
        images = images.filter(pa.array([i in drawn for i in images["image_id"].to_pylist()], pa.bool_()))
    count = settings.zero.single_block_images
    singles = sample(images["image_id"].to_pylist(), count, settings.seed, "single blocks")
    single_blocks = {schema.SINGLE_BLOCK: dict.fromkeys(singles, 0)} if singles else {}
    found = plan_rankings(plan, models, measure, images, settings.zero.rankings, single_blocks)
    found = replace(found, fills=settings.zero.fill)
    if not settings.zero.curves:
        return found
    measures = measure.names if measure else ()
    curves = tuple(ranking for ranking in found.rankings if ranking in (*schema.IMAGE_RULES, *measures))
    notes = found.notes
    if "inpaint" in found.fills:
        notes += ("no curves by inpaint: with all blocks filled there is nothing to inpaint from",)
    return replace(found, curves=(*curves, RANDOM), explained=_explained(plan, models), notes=notes)


def plan_rankings(
    plan: Plan,
    models: tuple[Checkpoint, ...],
    measure: MeasurePlan | None,
    images: pa.Table,
    asked: Sequence[str],
    single_blocks: Mapping[str, Halves],
) -> ZeroPlan:
    """A run over some images and the rankings that are ``asked``, by default those of ``zero.rankings``, all zeroed."""
    rankings, notes = _rankings(plan, measure, asked)
    now = tuple(r for r in rankings if r not in AFTER_ALL)
    after = tuple(r for r in AFTER_ALL if r in rankings)
    return ZeroPlan(plan, measure, models, now, after, images, notes, single_blocks)


def other_halves(images: pa.Table, halves: Halves, seed: int) -> Halves:
    """For every image another one's half: that of its seeded partner of the same split.

    Partners are drawn among all images of the manifest's split, so that they do not hang on how many are ranked yet.
    Where the partner has no half, one of another photo takes its place; without any, the image gets none.
    """
    found: Halves = {}
    for split in sorted(set(images["split"].to_pylist()), key=str):
        some = images.filter(pa.array([s == split for s in images["split"].to_pylist()]))
        ids = some["image_id"].to_pylist()
        photo_of = {i: photo or i for photo, i in zip(some["source_photo"].to_pylist(), ids, strict=True)}
        others = other_images(ids, list(photo_of.values()), seed)
        with_half = [i for i in ids if i in halves]
        for image_id, place in zip(ids, others, strict=True):
            partner = ids[place]
            if partner not in halves or photo_of[partner] == photo_of[image_id]:
                rest = [i for i in with_half if photo_of[i] != photo_of[image_id]]
                partner = next(iter(sample(rest, 1, seed, f"in place of the partner of {image_id}")), None)
            if partner is not None:
                found[image_id] = halves[partner]
    return found


def of_chosen_splits(plan: Plan, splits: tuple[str, ...], setting: str) -> pa.Table:
    """Manifest rows of the splits of a setting like ``zero.splits``: by default the test splits, or all."""
    if not splits:
        splits = tuple(sorted({s for s in plan.manifest["split"].to_pylist() if s and s.startswith("test")}))
    return of_splits(plan.manifest, splits, setting) if splits else plan.manifest


def _rankings(plan: Plan, measure: MeasurePlan | None, asked: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    settings, notes = plan.settings, []
    measures = measure.names if measure else ()
    if not asked:
        own = [measure.averaged] if measure else []
        if measure is None:
            notes.append("no averaged measure among the rankings: run jobs/measure.py first")
        asked = [settings.rank.rule, "score_change", *own, *OWN_CONTROLS, "control_other"]
    known = (*get_args(Rule), *measures, schema.OCCLUSION, *OWN_CONTROLS, "control_other")
    if unknown := [ranking for ranking in asked if ranking not in known]:
        missing = "" if measure else "; measures are known once jobs/measure.py has run"
        raise ValueError(f"zero.rankings names {', '.join(unknown)}; there are {', '.join(known)}{missing}")
    left = list(dict.fromkeys(asked))
    if plan.record.model.output == "score" and "level_plcc" in left:
        left.remove("level_plcc")
        notes.append(f"no level_plcc among the rankings: {plan.record.model.name} predicts no levels")
    rule = settings.rank.rule
    without_halves = ("level_plcc", "image_plcc") if plan.record.model.output == "score" else ("image_plcc",)
    if "control_other" in left and rule in without_halves:
        left.remove("control_other")
        notes.append(f"no control_other among the rankings: rank.rule {rule} gives no image a half of its own")
    return left, tuple(notes)


def _explained(plan: Plan, models: Sequence[Checkpoint]) -> tuple[Explained, ...]:
    """What is stored of explanations of these models' scores on photos that are ranked."""
    if not rule_halves(plan.folder, ()):
        return ()
    settings = plan.settings
    run = find_run(settings.output, settings.data.dataset, plan.key)
    names = {model.record.model.name for model in models}
    return tuple(e for e in read_explanations(settings.output, run, read_images(run), ()) if e.model in names)


def _image_plcc_half(plan: Plan) -> int:
    """The one half of the rule `image_plcc` over all ranked images; 0 where it is undefined."""
    run = find_run(plan.settings.output, plan.settings.data.dataset, plan.key)
    images = read_images(run)
    sums = None
    for part in images.parts:
        count = len(part.rows)
        nothing = np.empty((count, 0), np.int64)
        found = scan(part, run.grid, np.zeros(count, np.int64), np.full(count, np.nan), nothing).against_score[0]
        sums = found if sums is None else sums.merge(found)
    return 0 if sums is None else int(important_half(image_plcc_importance(run.grid, sums.plcc())[None])[0])
