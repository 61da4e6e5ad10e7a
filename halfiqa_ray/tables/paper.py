"""The numbers that the paper prints (arXiv 2301.12891), and when a run may be compared with them."""

from __future__ import annotations

import re
from typing import NamedTuple

from halfiqa_ray.tables.stored.reading import Run


class Zeroing(NamedTuple):
    """A row of Table I: PLCC on the test set, then with a half zeroed, with the prediction and with MOS."""

    test: float
    important: float
    important_mos: float
    trivial: float
    trivial_mos: float


class PaperDataset(NamedTuple):
    """The paper's data set that a run is of, or stands in for."""

    name: str  # key of the tables below
    title: str
    same: bool  # the real data set on the paper's 3 x 4 blocks, so that differences mean something


TITLES = {"koniq10k": "KonIQ-10k", "spaq": "SPAQ"}
MODELS = {"triq": "TRIQ", "aihiqnet": "AIHIQnet", "koncept": "KonCept", "dbcnn": "DBCNN", "swin_iqa": "Swin-IQA"}

# Section 2: PLCC with the trivial and with the important half masked in the transformer.
SECTION2 = {"koniq10k": (0.97, 0.67), "spaq": (0.96, 0.68)}

TABLE1 = {
    "koniq10k": {
        "triq": Zeroing(0.922, 0.680, 0.671, 0.972, 0.902),
        "aihiqnet": Zeroing(0.929, 0.816, 0.804, 0.959, 0.896),
        "koncept": Zeroing(0.916, 0.817, 0.813, 0.960, 0.901),
        "dbcnn": Zeroing(0.856, 0.804, 0.796, 0.963, 0.887),
        "swin_iqa": Zeroing(0.956, 0.835, 0.811, 0.974, 0.921),
    },
    "spaq": {
        "triq": Zeroing(0.916, 0.695, 0.675, 0.969, 0.907),
        "aihiqnet": Zeroing(0.928, 0.810, 0.801, 0.958, 0.912),
        "koncept": Zeroing(0.831, 0.802, 0.788, 0.957, 0.811),
        "dbcnn": Zeroing(0.894, 0.808, 0.797, 0.960, 0.868),
        "swin_iqa": Zeroing(0.933, 0.804, 0.782, 0.963, 0.902),
    },
}

# Section 4.2, last paragraph: mean over the five models of the PLCC with the prediction, halves by the averaged
# measure: (important zeroed, trivial zeroed). The paper does not say over which images.
AVERAGED_MEASURE = (0.803, 0.885)

# Table II: percent of the images of KonIQ-10k and SPAQ together that match at T = 1 .. 5.
TABLE2 = {
    "saliency": (100.0, 96.0, 69.2, 52.4, 37.8),
    "frequency": (100.0, 99.0, 70.1, 60.1, 40.8),
    "objectness": (100.0, 100.0, 77.3, 66.6, 44.7),
}


def paper_dataset(run: Run) -> PaperDataset | None:
    """Which of the paper's data sets a run is of by its layout or name; a stand-in where the name only holds it."""
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in (str(run.metadata.get("layout")), run.dataset)]
    paper_grid = (run.grid.rows, run.grid.columns) == (3, 4)
    for plain in names:
        for name, exact in (("koniq10k", ("koniq10k", "koniq")), ("spaq", ("spaq",))):
            if plain in exact:
                return PaperDataset(name, TITLES[name], paper_grid and not run.synthetic)
    for name, part in (("koniq10k", "koniq"), ("spaq", "spaq")):
        if any(part in plain for plain in names):
            return PaperDataset(name, TITLES[name], False)
    return None


def paper_model(model: str) -> str | None:
    """The key of one of the paper's five models in ``TABLE1``, from a stored model's name; None for another."""
    plain = re.sub(r"[^a-z0-9]", "", model.lower())
    return next((name for name in MODELS if name.replace("_", "") == plain), None)


def paper_measure(measure: str) -> tuple[str | None, bool]:
    """The row of ``TABLE2`` that a stored measure belongs to, and whether it is the paper's own measure.

    All three frequency combinations may be the paper's: it does not say which it used. Of the objectness measures
    only ``objectness_pixel`` is the paper's (and ``averaged_pixel`` of the averages, which Table II leaves out).
    """
    kind, _, recipe = measure.partition("_")
    row = kind if kind in TABLE2 else None
    return row, recipe == "pixel" if kind in ("objectness", "averaged") else kind in ("saliency", "frequency")
