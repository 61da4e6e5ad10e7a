"""Fitting a quality model: the loss, the steps, the best weights, and all that a resumed fit needs. No Ray.

One `Fit` is one worker's part of a fit; alone, with the defaults, it is the whole fit:

    fit = Fit(model, settings, seed, photos["train"], photos["validation"], pixels)
    for report in fit.epochs():
        print(report)
    fit.restore_best()

Shape suffixes: N images, H and W pixels, C channels, 5 the quality levels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from halfiqa_ray.config import TrainSettings
from halfiqa_ray.models.agreement import agreement
from halfiqa_ray.models.base import Prediction, QualityModel
from halfiqa_ray.models.schedule import Stage, batches, derived_seed, flipped, learning_rate, stages

# Keras' Adam, as in the public TRIQ code.
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-7


class TrainingError(RuntimeError):
    """A fit that cannot go on, for a reason that would come back if it were started again."""


@dataclass(frozen=True)
class ScoredPhotos:
    """The photos of one split that have a MOS.

    ``places`` are their indices in the pixel source, ``mos_N`` float64 in native units, ``labels_N5`` float32 level
    distributions.
    """

    image_ids: tuple[str, ...]
    places: NDArray[np.int64]
    mos_N: NDArray[np.float64]
    labels_N5: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.image_ids)


class Pixels(Protocol):
    """Where photos come from, decoded and at the model's input size."""

    def batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """The RGB pixels (N, H, W, 3) of one batch of photos after another; the caller may change them."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch: the mean training loss, and the validation agreement after it."""

    stage: str
    epoch: int  # of the stage, from 1
    stage_epochs: int
    loss: float
    learning_rate: float  # of the last step
    plcc: float | None
    srcc: float | None
    rmse: float | None
    best: bool  # these weights are the best so far
    images_per_second: float  # training images, all workers, validation left out
    seconds: float  # of the epoch with its validation
    epochs_left: int  # at most, in all stages


def quality_loss(prediction: Prediction, mos_N: Tensor, labels_N5: Tensor, model: QualityModel) -> Tensor:
    """The mean loss of a batch (a scalar tensor).

    Five levels: cross entropy between the label distribution and the predicted one. One score: squared error in
    units of the head's ``target_std``.
    """
    raw = prediction.raw_NO
    assert raw is not None, "a model that is trained must hand out the raw outputs of its head"  # noqa: S101
    if model.head.levels:
        return functional.cross_entropy(raw, labels_N5)
    return functional.mse_loss(raw[:, 0], (mos_N - model.head.target_mean) / model.head.target_std)


def standardise_target(model: QualityModel, mos_N: NDArray[np.float64]) -> None:
    """Give a scalar head the mean and deviation of the training MOS; a head of levels needs none."""
    if not model.head.levels:
        model.head.target_mean.fill_(float(mos_N.mean()))
        model.head.target_std.fill_(max(float(mos_N.std()), 1e-6))


def predict(model: QualityModel, pixels: Pixels, places: NDArray[np.int64], batch_size: int) -> NDArray[np.float64]:
    """Scores (N,) in native MOS units, in evaluation mode; the model is left in it."""
    model.eval()
    device = next(model.parameters()).device
    parts = [places[start : start + batch_size] for start in range(0, len(places), batch_size)]
    scores = [np.empty(0)]
    with torch.inference_mode():
        for batch_NHWC in pixels.batches(parts):
            images_NCHW = model.normalise(torch.from_numpy(batch_NHWC).to(device))
            scores.append(model(images_NCHW).score_N.double().cpu().numpy())
    return np.concatenate(scores)


class Fit:
    """The fit of ``model`` to ``train``, its best weights chosen by PLCC on ``validation``.

    With several workers, each has its ``rank`` of ``world``, ``parallel`` is the model wrapped to average gradients,
    and ``add_up`` sums a tensor over the workers in place. BatchNorm then takes its statistics from each worker's
    own share of a step. Raises ValueError for settings that fit no run, and when a split is too small.
    """

    def __init__(
        self,
        model: QualityModel,
        settings: TrainSettings,
        seed: int,
        train: ScoredPhotos,
        validation: ScoredPhotos,
        pixels: Pixels,
        parallel: nn.Module | None = None,
        rank: int = 0,
        world: int = 1,
        add_up: Callable[[Tensor], object] = lambda tensor: None,
    ) -> None:
        if len(train) < 1 or len(validation) < 2:
            raise ValueError(
                f"training needs photos with MOS: at least 1 to train and 2 to validate, got {len(train)} and "
                f"{len(validation)}; check the split column of the manifest"
            )
        self.model, self.settings, self.seed = model, settings, seed
        self.train, self.validation, self.pixels = train, validation, pixels
        self.parallel = model if parallel is None else parallel
        self.rank, self.world, self.add_up = rank, world, add_up
        self.device = next(model.parameters()).device
        self.stages = stages(settings)
        self.history: list[EpochReport] = []
        self.stage, self.epoch, self.without_gain = 0, 0, 0  # the next epoch, from 0
        self.best: dict[str, Tensor] = {}
        self.best_report: EpochReport | None = None
        batches(seed, 0, len(train), settings.batch_size, rank, world)  # a clear error now, not in the first epoch
        standardise_target(model, train.mos_N)
        self._new_optimiser()

    def epochs(self) -> Iterator[EpochReport]:
        """Train until the last stage ends or stops early; after each report the fit's state may be saved."""
        while self.stage < len(self.stages):
            stage = self.stages[self.stage]
            if self.epoch == stage.epochs or self.without_gain == self.settings.patience:
                self.stage, self.epoch, self.without_gain = self.stage + 1, 0, 0
                self.restore_best()
                self._new_optimiser()
                continue
            yield self._run_epoch(stage)

    def restore_best(self) -> None:
        """Put the best weights so far into the model."""
        if self.best:
            self.model.load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on exactly here: tensors, numbers and strings only."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "stage": self.stage,
            "epoch": self.epoch,
            "without_gain": self.without_gain,
            "best_epoch": self.history.index(self.best_report) if self.best_report else -1,
            "history": [asdict(report) for report in self.history],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = {name: tensor.cpu() for name, tensor in state["best"].items()}
        self.stage, self.epoch, self.without_gain = state["stage"], state["epoch"], state["without_gain"]
        self.history = [EpochReport(**report) for report in state["history"]]
        self.best_report = self.history[state["best_epoch"]] if state["best_epoch"] >= 0 else None

    def scores(self, photos: ScoredPhotos) -> NDArray[np.float64]:
        """The model's scores (N,) of ``photos``, worked out by all workers together."""
        mine = slice(self.rank, None, self.world)
        scores_N = torch.zeros(len(photos), dtype=torch.float64, device=self.device)
        own = predict(self.model, self.pixels, photos.places[mine], self._share)
        scores_N[mine] = torch.from_numpy(own).to(self.device)
        self.add_up(scores_N)
        return scores_N.cpu().numpy()

    @property
    def _share(self) -> int:
        return max(1, self.settings.batch_size // self.world)

    def _new_optimiser(self) -> None:
        backbone = list(self.model.backbone.parameters())
        known = set(backbone)
        others = [parameter for parameter in self.model.parameters() if parameter not in known]
        groups: list[dict[str, Any]] = [
            {"params": others, "share": 1.0},
            {"params": backbone, "share": self.settings.backbone_rate},
        ]
        self.optimiser = torch.optim.Adam(groups, betas=ADAM_BETAS, eps=ADAM_EPSILON)

    def _run_epoch(self, stage: Stage) -> EpochReport:
        started, total_epoch = time.perf_counter(), len(self.history)
        plan = batches(self.seed, total_epoch, len(self.train), self.settings.batch_size, self.rank, self.world)
        torch.manual_seed(derived_seed("dropout", self.seed, total_epoch, self.rank))
        self._training_mode()
        losses, rate = torch.zeros((), dtype=torch.float64, device=self.device), 0.0
        for step, pixels_NHWC in enumerate(self.pixels.batches([self.train.places[chosen] for chosen in plan])):
            rate = learning_rate(stage, self.epoch * len(plan) + step, len(plan))
            losses += self._step(plan[step], pixels_NHWC, rate, total_epoch)
        self.add_up(losses)
        self._share_statistics()
        trained = time.perf_counter()
        try:
            found = agreement(self.scores(self.validation), self.validation.mos_N)
        except ValueError as error:
            raise TrainingError(
                f"validation after stage {stage.name}, epoch {self.epoch + 1}: {error}; lower train.learning_rate"
            ) from error
        self.epoch += 1
        report = EpochReport(
            stage=stage.name,
            epoch=self.epoch,
            stage_epochs=stage.epochs,
            loss=float(losses) / len(plan) / self.world,
            learning_rate=rate,
            plcc=found.plcc,
            srcc=found.srcc,
            rmse=found.rmse,
            best=self._is_best(found.plcc),
            images_per_second=plan.size * self.world / (trained - started),
            seconds=time.perf_counter() - started,
            epochs_left=stage.epochs - self.epoch + sum(later.epochs for later in self.stages[self.stage + 1 :]),
        )
        self.history.append(report)
        self.without_gain = 0 if report.best else self.without_gain + 1
        if report.best:
            self.best_report = report
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        return report

    def _is_best(self, plcc: float | None) -> bool:
        if self.best_report is None:
            return True
        before = -math.inf if self.best_report.plcc is None else self.best_report.plcc
        return plcc is not None and plcc - before > self.settings.minimum_gain

    def _share_statistics(self) -> None:
        """Give all workers the BatchNorm statistics of rank 0: the weights that are kept are its own."""
        if self.world > 1:
            for buffer in self.model.buffers():
                if self.rank:
                    buffer.zero_()
                self.add_up(buffer)

    def _training_mode(self) -> None:
        self.parallel.train()
        if self.settings.freeze_batchnorm:
            for module in self.model.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _step(self, chosen: NDArray[np.int64], pixels_NHWC: NDArray[np.uint8], rate: float, epoch: int) -> Tensor:
        """One step on this worker's share of a batch; returns its mean loss."""
        image_ids = [self.train.image_ids[index] for index in chosen]
        if self.settings.flip:
            mirrored = flipped(self.seed, epoch, image_ids)
            pixels_NHWC[mirrored] = pixels_NHWC[mirrored][:, :, ::-1]
        images_NCHW = self.model.normalise(torch.from_numpy(pixels_NHWC).to(self.device))
        mos_N = torch.from_numpy(self.train.mos_N[chosen]).to(self.device, torch.float32)
        labels_N5 = torch.from_numpy(self.train.labels_N5[chosen]).to(self.device)
        loss = quality_loss(self.parallel(images_NCHW), mos_N, labels_N5, self.model)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} in stage {self.stages[self.stage].name}, epoch {self.epoch + 1}, at "
                f"the images {', '.join(image_ids)}; look at their MOS and votes, or lower train.learning_rate"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach().double()


def photos_of(
    image_ids: Sequence[str], mos: Sequence[float], labels_N5: NDArray[np.float32], rows: Sequence[int]
) -> ScoredPhotos:
    """The photos at ``rows`` of columns that cover the whole pixel source."""
    chosen = np.asarray(rows, dtype=np.int64)
    return ScoredPhotos(
        tuple(image_ids[row] for row in chosen), chosen, np.asarray(mos, dtype=np.float64)[chosen], labels_N5[chosen]
    )
