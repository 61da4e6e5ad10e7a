"""What the rank, measure, zero and explain jobs have in common: find what is missing, stream it, compact, account for
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import schema, storage
from halfiqa_ray.pipelines.photo_stream import WATCHED, Stream, error_columns, is_soon_here, passes
from halfiqa_ray.pipelines.plans.checkpoints import Checkpoint
from halfiqa_ray.pipelines.plans.measures import MeasurePlan
from halfiqa_ray.pipelines.plans.run import Plan
from halfiqa_ray.pipelines.plans.zeroing import ZeroPlan
from halfiqa_ray.runtime.capacity import capacity
from halfiqa_ray.runtime.counting import Counts
from halfiqa_ray.runtime.errors import report_errors
from halfiqa_ray.runtime.lock import locked
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.resources import Scorers, plan_scorers
from halfiqa_ray.stages.outputs import rank_output
from halfiqa_ray.stages.parts import Output, compact, marks_uri, settle_errors, working_uri
from halfiqa_ray.stages.watched import are_suspects, forget, forgive, retry
from halfiqa_ray.stages.work import Wanted, discard_other_halves, explained_halves, rule_halves, work

if TYPE_CHECKING:
    from halfiqa_ray.pipelines.plans.explaining import ExplainPlan  # and, with it, what figures are drawn by


@dataclass(frozen=True)
class PhotoJob:
    """One job over ``rows`` of the manifest: rank, measure, zero or explain, by ``name``.

    Its plans are made before it, each once and from the ones before: what of photos is measured, zeroed and explained.
    With both ``zero`` and ``explain``, they are of the same models in the same order.
    """

    name: str
    plan: Plan
    record: RunRecord
    rows: pa.Table
    measure: MeasurePlan | None = None
    zero: ZeroPlan | None = None
    explain: ExplainPlan | None = None

    def run(self) -> int:
        """Do what is missing; print and note the counts.

        Returns the exit code: 0, or 1 when a photo failed and ``strict`` is set. Raises FolderBusy when another job
        works on the same folders.
        """
        folders = [output.folder for output in self._outputs(self.ranks, explains=True)]
        settings = self.plan.settings
        with locked(folders, self.name, settings.force) as check_locks:
            failed = self._run(check_locks)
        return 1 if settings.strict and failed.num_rows else 0

    @property
    def own(self) -> Plan | MeasurePlan | ZeroPlan | ExplainPlan:
        """The plan that gives the job its key and its folder of errors."""
        plans = {"rank": self.plan, "measure": self.measure, "zero": self.zero, "explain": self.explain}
        return plans[self.name] or self.plan

    @property
    def key(self) -> str:
        """The key of the run."""
        return self.own.key

    @property
    def errors(self) -> str:
        """Folder of the run's errors."""
        return self.own.errors

    @property
    def ranks(self) -> bool:
        """Whether rank rows are made, or only halves taken from those that are stored."""
        return self.name == "rank"

    @property
    def measures(self) -> bool:
        """Whether measures are made, or only halves taken from those that are stored."""
        return self.name == "measure" or (self.ranks and self.plan.settings.rank.measure)

    def _run(self, check_locks: Callable[[], None]) -> pa.Table:
        """Returns the error rows of the images that are not finished."""
        for marks in self._marks:
            retry(marks)
        self._discard_stale()
        todo = self.todo(after=False)
        scorers = plan_scorers(self.plan.settings.compute, self._passes(todo))
        here = self._is_safe_here() and is_soon_here(scorers, todo.num_rows, self._passes(todo))
        self._announce(todo, scorers, here)
        if todo.num_rows:
            with self.record.timed("score"):
                self._stream(todo, scorers, f"photos {_DONE[self.name]}", here)
        with self.record.timed("compact"):
            self._compact(check_locks)
        unfinished = set(self.todo(after=False)["image_id"].to_pylist())
        if self.zero and (self.zero.after or self.zero.curves):
            unfinished |= self._second_pass(self.zero, check_locks)
        ids = set(self.rows["image_id"].to_pylist())
        check_locks()
        failed = settle_errors(self.errors, ids - unfinished)
        kept = [forget(marks, unfinished) for marks in self._marks]
        if not any(kept):
            storage.delete_folder(working_uri(self.errors))
        report_errors(failed, self.errors)
        self.record.note(counts={"in": len(ids), "out": len(ids - unfinished), "failed": failed.num_rows})
        return failed

    def _is_safe_here(self) -> bool:
        """Whether photos that nothing is known of may be worked on in the job's own process.

        One that ends the process would end the job. So: photos are decoded in a process of their own, whatever comes
        of it has the size of the models, which are ours, and none was worked on when another process ended. And where
        somebody asks for actors, or there are more nodes than the job's own, those do the work.
        """
        settings, there = self.plan.settings, capacity()
        return (
            settings.data.decode_seconds > 0
            and not settings.rank.native
            and all(isinstance(model.source, str) for model in self._models)
            and not any(are_suspects(marks) for marks in self._marks)
            and settings.compute.actors == 0
            and len(there.nodes) == 1
            and not there.grows
        )

    def todo(self, after: bool) -> pa.Table:
        """The rows with something missing in the one pass, or in the second one ``after`` all images are scored."""
        zero, explain = self.zero, self.explain
        if after and zero:
            images = self._zeroed_images & frozenset(rule_halves(self.plan.folder, ()))  # not those that failed
            return work(
                self.rows,
                Wanted(
                    zeroed=self._folders,
                    zeroed_images=images,
                    given=self._given,
                    fills=zero.fills,
                    orders=self._orders,
                    order_fills=zero.curve_fills,
                    own=zero.own_orders,
                ),
            )
        return work(
            self.rows,
            Wanted(
                rank=self.plan.folder,
                fill_rank=self.ranks,
                measures=self.measure.folder if self.measure else None,
                fill_measures=self.measures,
                zeroed=self._folders,
                zeroed_images=self._zeroed_images,
                rankings=zero.rankings if zero else (),
                given=zero.single_blocks if zero else {},
                own=zero.own if zero else {},
                fills=zero.fills if zero else (),
                explainers=explain.explainers if explain else (),
                methods=explain.methods if explain else (),
                explained_images=explain.image_ids if explain else frozenset(),
                maps=explain.maps_folder if explain else None,
                mapped_images=explain.mapped if explain else frozenset(),
            ),
        )

    @cached_property
    def _zeroed_images(self) -> frozenset[str]:
        return frozenset(self.zero.images["image_id"].to_pylist()) if self.zero else frozenset()

    @cached_property
    def _given(self) -> dict[str, dict[str, int]]:
        return self.zero.given_halves() if self.zero else {}

    @cached_property
    def _orders(self) -> dict[str, dict[str, list[int]]]:
        return self.zero.given_orders() if self.zero else {}

    @property
    def _marks(self) -> list[str]:
        return [marks_uri(self.errors, stage) for stage in WATCHED]

    @property
    def _models(self) -> tuple[Checkpoint, ...]:
        of = self.explain or self.zero
        return of.models if of else ()

    @property
    def _folders(self) -> list[str]:
        return [output.folder for output in self.zero.outputs] if self.zero else []

    def _outputs(self, ranks: bool, explains: bool) -> tuple[Output, ...]:
        outputs: list[Output] = []
        if ranks:
            outputs.append(rank_output(self.plan.folder, self.plan.blocks, self.plan.metadata))
        if self.measures and self.measure:
            outputs.append(self.measure.output)
        # Pixel maps come before the rows that say that an image is explained.
        outputs += self.explain.outputs if self.explain and explains else ()
        return (*outputs, *(self.zero.outputs if self.zero else ()))

    def _stream(self, todo: pa.Table, scorers: Scorers, what: str, here: bool) -> None:
        # Models are loaded only where some row needs them.
        ranks = bool(pc.any(todo["rank"]).as_py())
        explain = self.explain if any(todo["explain"].to_pylist()) else None
        models = self._models if explain or any(todo["zero"].to_pylist()) else ()
        measure = self.measure.stage if self.measure and pc.any(todo["measure"]).as_py() else None
        draw = explain.measure_maps if explain and pc.any(todo["mapped"]).as_py() else None
        stream = Stream(
            plan=self.plan,
            outputs=self._outputs(ranks, explains=explain is not None),
            errors=self.errors,
            error_columns=error_columns(self.name, self.key),
            scorers=scorers,
            subsets=self.plan.checkpoint if ranks else None,
            measure=measure or draw,
            zeroed=tuple(model.source for model in models),
            zeroed_sizes=tuple(model.size for model in models),
            explain=self.plan.settings.explain.lime if explain else None,
            here=here,
            planned={m.uri: m.record.weights_sha256 for m in models}
            | {self.plan.checkpoint: self.plan.record.weights_sha256},
        )
        try:
            counts = stream.run(todo, what)
        except (KeyboardInterrupt, SystemExit):
            for marks in self._marks:
                forgive(marks)
            raise
        self.record.add_stages(counts.photos, counts.seconds)
        if said := said_of_passes(counts, self.plan.settings.compute.precision):
            print("\n".join(said), flush=True)
            self.record.note(precision_changes=counts.changes, not_compiled=counts.not_compiled)

    def _second_pass(self, zero: ZeroPlan, check_locks: Callable[[], None]) -> set[str]:
        """Zero the halves that hang on other images, and along orders; returns the images that are not finished."""
        stale = sum(discard_other_halves(folder, self._given, self._zeroed_images) for folder in self._folders)
        todo = self.todo(after=True)
        if todo.num_rows:
            again = f", {stale} of them again: other images have been ranked since" if stale else ""
            print(
                f"second pass, {' and '.join(_second(zero))}: {todo.num_rows} images, at most {self._passes(todo):,} "
                f"forward passes{again}",
                flush=True,
            )
            # Planned anew: there are fewer passes than in the first, and an actor more is another start to wait for.
            scorers = plan_scorers(self.plan.settings.compute, self._passes(todo))
            # These photos have gone through all of it before.
            with self.record.timed("second pass"):
                self._stream(
                    todo, scorers, "photos zeroed", here=is_soon_here(scorers, todo.num_rows, self._passes(todo))
                )
            with self.record.timed("second compact"):
                self._compact(check_locks)
        return set(self.todo(after=True)["image_id"].to_pylist())

    def _discard_stale(self) -> None:
        """Discard what was zeroed by halves of explanations that are no longer the newest."""
        if not (self.explain and self.zero):
            return
        halves = explained_halves(self.explain.explainers)
        names = [schema.explained(m, each.name) for each in self.explain.explainers for m in each.methods]
        given = {name: {i: some[name] for i, some in halves.items() if name in some} for name in names}
        if stale := sum(discard_other_halves(folder, given, self._zeroed_images) for folder in self._folders):
            print(f"{stale} zeroed halves of other explanations are discarded", flush=True)

    def _passes(self, todo: pa.Table) -> int:
        return sum(passes(todo, self.plan.blocks, self.plan.settings.explain.lime.samples))

    def _compact(self, check_locks: Callable[[], None]) -> None:
        check_locks()
        for output in self._outputs(self.ranks, explains=True):
            compact(output.folder, key=output.key, brought=output.brought)

    def _announce(self, todo: pa.Table, scorers: Scorers, here: bool) -> None:
        """Print and note what is going to be done, before it starts."""
        plan, zero, explain = self.plan, self.zero, self.explain
        lines = [
            f"{self.name} {plan.settings.data.dataset}, run {self.key[:8]}: {self.rows.num_rows} images, "
            f"{self.rows.num_rows - todo.num_rows} finished before, {todo.num_rows} to {_VERB[self.name]}"
        ]
        planned = {"photos": todo.num_rows, "forward_passes": self._passes(todo)}
        if self.ranks:
            model = plan.record.model
            lines.append(f"  model {model.name}, {model.backbone.name}, from {plan.checkpoint}")
        if self.measure:
            of = f"{pc.sum(todo['measure']).as_py() or 0} photos" if self.measures else "as stored, for the rankings"
            lines.append(f"  measures {', '.join(self.measure.names)}: {of}, run {self.measure.key[:8]}")
            if self.measures and plan.settings.compute.measures == "scoring":
                lines.append(f"    at every pixel {self._measured_on(scorers)}")
        if explain:
            planned["explained_photos"] = sum(1 for asked in todo["explain"].to_pylist() if asked)
            lines += explain.announcement(planned["explained_photos"], pc.sum(todo["mapped"]).as_py() or 0)
            self.record.note(explained=explain.facts)
        if zero:
            photos = sum(1 for asked in todo["zero"].to_pylist() if asked)
            names = [model.record.model.name for model in zero.models]
            lines.append(
                f"  zeroing: {photos} photos, {len(names)} models ({', '.join(names)}), {len(zero.rankings)} rankings "
                f"({', '.join(zero.rankings)})" + (f", then {', '.join(zero.after)}" if zero.after else "")
            )
            if zero.fills != (schema.ZERO,):
                several = f"{len(zero.fills)} fills ({', '.join(zero.fills)}), each in passes of its own"
                lines.append(f"    filled by {several if zero.fills[1:] else zero.fills[0]}")
            lines += [f"    {len(images)} of them with each single block" for images in zero.single_blocks.values()]
            if zero.curves:
                own = f", and each model's own {' or '.join(zero.own_orders)}" if zero.own_orders else ""
                lines.append(
                    f"    along {len(zero.curves)} orders ({', '.join(zero.curves)}){own}: at most "
                    f"{zero.curve_passes} passes a photo, in the second pass"
                )
            lines += [f"    {note}" for note in zero.notes]
            planned |= {
                "zeroed_photos": photos,
                "models": len(names),
                "rankings": len(zero.rankings) + len(zero.after),
                "fills": len(zero.fills),
                "second_pass_forward_passes": photos
                * (len(names) * 2 * len(zero.after) * len(zero.fills) + zero.curve_passes),
            }
        if self.ranks or zero or explain:
            later, who = planned.get("second_pass_forward_passes"), scorers.here() if here else str(scorers)
            lines.append(
                f"  {planned['forward_passes']:,} forward passes at most (equal masks of an image are run once)"
                + (f", and {later:,} in the second pass; {who}" if later else f"; {who}")
            )
        print("\n".join(lines), flush=True)
        self.record.note(device=scorers.device, scorers=scorers.here() if here else str(scorers), planned=planned)
        if zero:
            rankings = [*zero.rankings, *zero.after]
            self.record.note(models=[m.uri for m in zero.models], rankings=rankings, fills=[*zero.fills])

    def _measured_on(self, scorers: Scorers) -> str:
        if self.ranks or self.zero:
            return f"on {scorers.device}, by torch"
        return "on cpu: this job has no models, whose device compute.measures asks for"


def said_of_passes(counts: Counts, precision: str) -> list[str]:
    """Lines on models whose passes ran in half precision, or were to be compiled and are not."""
    return [
        *(
            f"{model} in {precision}: scores of the first images differ from float32 by at most {change:.2g}"
            for model, change in counts.changes.items()
        ),
        *(f"{model} is not compiled: {why}" for model, why in counts.not_compiled.items()),
    ]


def _second(zero: ZeroPlan) -> list[str]:
    """What the second pass is of."""
    said = [f"of rankings that hang on other images ({', '.join(zero.after)})"] if zero.after else []
    return [*said, *([f"along orders ({', '.join(zero.curves)})"] if zero.curves else [])]


_VERB = {"rank": "score", "measure": "measure", "zero": "zero", "explain": "explain"}
_DONE = {"rank": "scored", "measure": "measured", "zero": "zeroed", "explain": "explained"}
