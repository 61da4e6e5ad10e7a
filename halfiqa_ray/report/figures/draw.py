"""All figures of a rank run, from stored rows and photos: those of the data, and those that show photos.

Nothing is computed by a model. What a figure needs and is not stored is named in the figure's place, with the job that
makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.report.figures import (
    blocks,
    dots,
    estimates,
    explained,
    faithfulness,
    halves,
    matching,
    measured,
    scatter,
    subset_curves,
)
from halfiqa_ray.report.figures.choose import read_halved
from halfiqa_ray.report.figures.drawn import Drawn, missing_card
from halfiqa_ray.report.photos import Photo, photo_uris, read_maps, small_photo
from halfiqa_ray.report.stored import Missing, wanted_rule
from halfiqa_ray.tables.beyond.shapley_estimates import costs
from halfiqa_ray.tables.stored.derived import read_measures
from halfiqa_ray.tables.stored.reading import Run, read_rows

MOST_ROWS = 12  # photos of a figure
FORMS = ("svg", "png", "pdf")
MEASURES_TITLE = "Measures and halves (Figure 3)"


def data_figures(settings: Settings, run: Run) -> list[Drawn]:
    """The figures of a run's tables and predictions, in the order of a report."""
    output, rule = settings.output, wanted_rule(settings.output, run, settings.rank.rule)
    wanted: list[tuple[str, str, Callable[[], Drawn]]] = [
        ("section2", "Half of the blocks masked (Section 2)", lambda: dots.section2(output, run)),
        ("subsets", "All block subsets", lambda: subset_curves.subsets(output, run, rule)),
        ("sufficiency", "How much of a photo is enough", lambda: subset_curves.sufficiency(output, run, rule)),
        ("faithfulness", "Deletion and insertion of blocks", lambda: faithfulness.faithfulness(output, run, rule)),
        ("table1", "Half of the pixels zeroed (Table I)", lambda: dots.table1(output, run)),
        ("table1_mos", "Half of the pixels zeroed, with MOS (Table I)", lambda: dots.table1(output, run, mos=True)),
        ("explained_halves", "Halves by explanations, zeroed", lambda: dots.explained(output, run)),
        ("zeroed_predictions", "Predictions with half zeroed", lambda: scatter.zeroed(output, run, rule)),
        ("matching", "Matching degree (Table II)", lambda: matching.matching(output, run, rule)),
        ("matching_histogram", "Matching numbers", lambda: matching.histogram(output, run, rule)),
        ("agreement", "Agreement of rules and measures", lambda: blocks.agreement(output, run)),
        ("positions", "Where the important blocks lie", lambda: blocks.positions(output, run)),
        ("predictions", "Predicted quality against MOS", lambda: scatter.predictions(output, run)),
    ]
    if costs(run.grid):  # of a smaller grid all subsets are cheaper than any estimate
        wanted.insert(4, ("shapley_estimates", "Estimated Shapley values", lambda: estimates.estimates(output, run)))
    return [_or_missing(run, *one) for one in wanted]


def photo_figures(settings: Settings, run: Run) -> list[Drawn]:
    """The paper's Figures 1 to 3 of the named photos, or where none of them is in the run of those that tell most."""
    names = ("halves", "explanations", "measures", "measures_agree", "measures_disagree")
    try:
        halved = read_halved(settings.output, run, wanted_rule(settings.output, run, settings.rank.rule))
        uris = photo_uris(settings.output, run.dataset)
    except Missing as missing:
        return [missing_card(name, "Photos with their halves", str(missing), run.synthetic) for name in names]
    named, count = halved.named(settings.report.images), min(settings.report.count, MOST_ROWS)
    if len(named) > MOST_ROWS:
        said = f"the first {MOST_ROWS} of {len(named)} named photos"
        halved, named = replace(halved, said="; ".join([halved.said] * bool(halved.said) + [said])), named[:MOST_ROWS]
    maps = read_maps(settings.output, run)
    measures, why = read_measures(settings.output, run, halved.images)
    opened: dict[int, Photo] = {}

    def photos(at: Sequence[int]) -> list[Photo]:
        for position in set(at) - opened.keys():
            image_id = halved.images.image_id[position]
            opened[position] = small_photo(image_id, uris, run, settings.data.maximum_pixels)
        return [opened[position] for position in at]

    def telling(among: set[str] | None = None) -> list[int]:
        return named or halved.first(halved.gap_N, count, among)

    at = telling()
    drawn = [halves.draw_halves(halved, at, photos(at))]
    models = explained.models_of(maps)
    for model in models:
        at = telling({image_id for image_id, _, of_model in maps if of_model == model})
        drawn.append(explained.draw_explained(halved, model, photos(at), maps))
    if not models:
        reason = f"no maps of explanations of {run.dataset} are stored: jobs/explain.py makes them"
        drawn.append(missing_card("explanations", "What LIME and Grad-CAM point at (Figure 1)", reason, run.synthetic))
    if not measured.shown_measures(measures):
        reason = why or f"no measures of {run.dataset} are stored: jobs/measure.py makes them"
        return [*drawn, *(missing_card(name, MEASURES_TITLE, reason, run.synthetic) for name in names[2:])]
    at = telling({image_id for image_id, _, model in maps if model is None} or None)
    drawn.append(measured.draw_measured(halved, at, photos(at), measures, maps))
    agreement_N = measured.agreement(halved, measures)
    for most, name in ((True, names[3]), (False, names[4])):
        at = halved.first(agreement_N if most else -agreement_N, count)
        if at:
            drawn.append(measured.draw_agreement(halved, at, photos(at), measures, agreement_N, most))
        else:
            reason = f"no averaged measure of images of {run.dataset} is stored: jobs/measure.py makes it"
            drawn.append(missing_card(name, MEASURES_TITLE, reason, run.synthetic))
    return drawn


def write(output: str, run: Run, drawn: Sequence[Drawn]) -> list[str]:
    """Write figures as OUTPUT/figures/DATASET/NAME.{svg,png,pdf}, and their words as captions.txt; returns the URIs.

    Prints what could not be drawn and why.
    """
    folder, written, words = storage.join(output, "figures", run.dataset), [], []
    for one in drawn:
        words.append(f"{one.name}: {one.title}\n\n{one.missing or one.caption}\n\n{one.alt}\n")
        if one.missing:
            print(f"not drawn: {one.name} of {run.dataset}: {one.missing}", flush=True)
            for kind in FORMS:  # of an earlier run, which this one's caption does not describe
                storage.delete(storage.join(folder, f"{one.name}.{kind}"))
            continue
        for kind, data in zip(FORMS, (one.svg.encode(), one.png, one.pdf), strict=True):
            written.append(storage.join(folder, f"{one.name}.{kind}"))
            storage.write_bytes(written[-1], data)
    written.append(storage.join(folder, "captions.txt"))
    storage.write_text(written[-1], "\n\n".join(words))
    return written


def check_named(settings: Settings, runs: Sequence[Run]) -> None:
    """Raise ValueError when an image that the settings name is in no run."""
    known = {image_id for run in runs for image_id in read_rows(run, ["image_id"])["image_id"].to_pylist()}
    if unknown := [image_id for image_id in settings.report.images if image_id not in known]:
        raise ValueError(f"report.images names {unknown[0]!r}, which no rank run of the shown data sets has")


def _or_missing(run: Run, name: str, title: str, draw_it: Callable[[], Drawn]) -> Drawn:
    try:
        return draw_it()
    except Missing as missing:
        return missing_card(name, title, str(missing), run.synthetic)
