"""Fitting a quality model: the steps, the best weights, and all that a resumed fit needs. No Ray.

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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from halfiqa_ray.config import TrainSettings
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.fitting.agreement import agreement
from halfiqa_ray.models.fitting.losses import quality_loss, standardise_target
from halfiqa_ray.models.fitting.optimisers import create_optimiser, precision_on
from halfiqa_ray.models.fitting.schedule import Stage, batches, derived_seed, flipped, learning_rate, stages
from halfiqa_ray.models.fitting.scored_photos import PhotoBatch, Pixels, ScoredPhotos


class TrainingError(RuntimeError):
    """A fit that cannot go on, for a reason that would come back if it were started again."""


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
    finished: float  # when, in seconds since 1970


@dataclass(frozen=True)
class EpochProgress:
    """How far an epoch is."""

    stage: str
    epoch: int  # of the stage, from 1
    stage_epochs: int
    images: int  # trained on in this epoch so far, all workers
    of_images: int
    images_per_second: float  # in this epoch so far, all workers
    epochs_left: int  # after this one, at most, in all stages


def predict(model: QualityModel, pixels: Pixels, places: NDArray[np.int64], batch_size: int) -> NDArray[np.float64]:
    """Scores (N,) in native MOS units, float32 passes in evaluation mode; the model is left in it.

    NaN where a photo cannot be read, and nowhere else: raises TrainingError when the model itself gives none.
    """
    model.eval()
    device = next(model.parameters()).device
    parts = [places[start : start + batch_size] for start in range(0, len(places), batch_size)]
    scores = [np.empty(0)]
    with torch.inference_mode():
        for pixels_NHWC, readable_N in pixels.batches(parts):
            images_NCHW = model.normalise(torch.from_numpy(pixels_NHWC).to(device))
            found = model(images_NCHW).score_N.double().cpu().numpy()
            if not np.isfinite(found).all():
                raise TrainingError(
                    f"{np.count_nonzero(~np.isfinite(found))} of {len(found)} predictions are not finite"
                )
            scores.append(np.where(readable_N, found, np.nan))
    return np.concatenate(scores)


class Fit:
    """The fit of ``model`` to ``train``, its best weights chosen by PLCC on ``validation``.

    With several workers, each has its ``rank`` of ``world``, ``wrap`` makes the model average gradients (it is called
    at the start of every stage, since stages differ in what they train), and ``add_up`` sums a tensor over the workers
    in place. BatchNorm then takes its statistics from each worker's own share of a step, unless it is frozen or
    synchronised. ``tell`` is called after every step. Raises ValueError for settings that fit no run, and when a split
    is too small.
    """

    def __init__(
        self,
        model: QualityModel,
        settings: TrainSettings,
        seed: int,
        train: ScoredPhotos,
        validation: ScoredPhotos,
        pixels: Pixels,
        wrap: Callable[[QualityModel], nn.Module] = lambda model: model,
        rank: int = 0,
        world: int = 1,
        add_up: Callable[[Tensor], object] = lambda tensor: None,
        tell: Callable[[EpochProgress], object] = lambda progress: None,
    ) -> None:
        if len(train) < 1 or len(validation) < 2:
            raise ValueError(
                f"training needs photos with MOS: at least 1 to train and 2 to validate, got {len(train)} and "
                f"{len(validation)}; check the split column of the manifest"
            )
        self.model, self.settings, self.seed = model, settings, seed
        self.train, self.validation, self.pixels = train, validation, pixels
        self.wrap, self.rank, self.world, self.add_up, self.tell = wrap, rank, world, add_up, tell
        self.device = next(model.parameters()).device
        self.precision = precision_on(settings.precision, self.device)
        self.stages = stages(settings)
        self.history: list[EpochReport] = []
        self.stage, self.epoch, self.without_gain = 0, 0, 0  # the next epoch, from 0
        self.best: dict[str, Tensor] = {}
        self.best_report: EpochReport | None = None
        batches(seed, 0, len(train), settings.batch_size, rank, world)  # a clear error now, not in the first epoch
        standardise_target(model, train.mos_N)
        self._begin_stage()

    def epochs(self) -> Iterator[EpochReport]:
        """Train until the last stage ends or stops early; after each report the fit's state may be saved."""
        while self.stage < len(self.stages):
            stage = self.stages[self.stage]
            if self.epoch == stage.settings.epochs or self.without_gain == self.settings.patience:
                self.stage, self.epoch, self.without_gain = self.stage + 1, 0, 0
                self.restore_best()
                self._begin_stage()
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
            "scaler": self.scaler.state_dict(),
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
        self.stage, self.epoch, self.without_gain = state["stage"], state["epoch"], state["without_gain"]
        self._begin_stage()
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.best = {name: tensor.cpu() for name, tensor in state["best"].items()}
        self.history = [EpochReport(**report) for report in state["history"]]
        self.best_report = self.history[state["best_epoch"]] if state["best_epoch"] >= 0 else None

    def scores(self, photos: ScoredPhotos) -> NDArray[np.float64]:
        """The model's scores (N,) of ``photos``, worked out by all workers together; NaN where one cannot be read.

        Raises TrainingError when the model gives a score that is not finite.
        """
        mine = slice(self.rank, None, self.world)
        scores_N = torch.zeros(len(photos), dtype=torch.float64, device=self.device)
        own = predict(self.model, self.pixels, photos.places[mine], self._share)
        scores_N[mine] = torch.from_numpy(own).to(self.device)
        self.add_up(scores_N)
        return scores_N.cpu().numpy()

    @property
    def _share(self) -> int:
        return max(1, self.settings.batch_size // self.world)

    def _begin_stage(self) -> None:
        if self.stage < len(self.stages):
            stage = self.stages[self.stage].settings
            self.optimiser = create_optimiser(self.model, stage, self.settings.backbone_rate, self.settings.frozen)
            self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
            self.parallel = self.wrap(self.model)

    def _run_epoch(self, stage: Stage) -> EpochReport:
        started, total_epoch = time.perf_counter(), len(self.history)
        plan = batches(self.seed, total_epoch, len(self.train), self.settings.batch_size, self.rank, self.world)
        torch.manual_seed(derived_seed("dropout", self.seed, total_epoch, self.rank))
        self._training_mode()
        losses, rate = torch.zeros((), dtype=torch.float64, device=self.device), 0.0
        for step, photos in enumerate(self.pixels.batches([self.train.places[chosen] for chosen in plan])):
            rate = learning_rate(stage.settings, self.epoch * len(plan) + step, len(plan))
            losses += self._step(step, plan[step], photos, rate, total_epoch)
            self._tell(stage, (step + 1) * plan.shape[1], plan.size, time.perf_counter() - started)
        self.add_up(losses)
        self._share_statistics()
        trained = time.perf_counter()
        try:
            scores_N = self.scores(self.validation)
        except TrainingError as error:
            raise TrainingError(
                f"validation after stage {stage.name}, epoch {self.epoch + 1}: {error}; lower "
                f"train.{stage.name}.learning_rate"
            ) from error
        readable = np.isfinite(scores_N)
        found = agreement(scores_N[readable], self.validation.mos_N[readable])
        self.epoch += 1
        report = EpochReport(
            stage=stage.name,
            epoch=self.epoch,
            stage_epochs=stage.settings.epochs,
            loss=float(losses) / len(plan) / self.world,
            learning_rate=rate,
            plcc=found.plcc,
            srcc=found.srcc,
            rmse=found.rmse,
            best=self._is_best(found.plcc),
            images_per_second=plan.size * self.world / (trained - started),
            seconds=time.perf_counter() - started,
            epochs_left=self._epochs_after(self.epoch),
            finished=time.time(),
        )
        self.history.append(report)
        self.without_gain = 0 if report.best else self.without_gain + 1
        if report.best:
            self.best_report = report
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        return report

    def _epochs_after(self, epoch: int) -> int:
        """At most so many epochs after the first ``epoch`` of this stage, in all stages."""
        return sum(stage.settings.epochs for stage in self.stages[self.stage :]) - epoch

    def _tell(self, stage: Stage, done: int, images: int, seconds: float) -> None:
        """``done`` of ``images`` images of this worker's share of the epoch took ``seconds``."""
        self.tell(
            EpochProgress(
                stage=stage.name,
                epoch=self.epoch + 1,
                stage_epochs=stage.settings.epochs,
                images=done * self.world,
                of_images=images * self.world,
                images_per_second=done * self.world / seconds,
                epochs_left=self._epochs_after(self.epoch + 1),
            )
        )

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
        frozen: dict[str, list[nn.Module]] = {"none": [], "backbone": [self.model.backbone], "all": [self.model]}
        for part in frozen[self.settings.freeze_batchnorm]:
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _step(self, step: int, chosen: NDArray[np.int64], photos: PhotoBatch, rate: float, epoch: int) -> Tensor:
        """One step on this worker's share of a batch, without what cannot be read; returns its mean loss."""
        pixels_NHWC, readable_N = photos
        if not readable_N.any():
            message = next(iter(self.pixels.problems.values()))[1]
            raise TrainingError(f"none of the {len(readable_N)} photos of a step can be read: {message}")
        if not readable_N.all():
            chosen, pixels_NHWC = chosen[readable_N], pixels_NHWC[readable_N]
        image_ids = [self.train.image_ids[index] for index in chosen]
        if self.settings.flip:
            mirrored = flipped(self.seed, epoch, image_ids)
            pixels_NHWC[mirrored] = pixels_NHWC[mirrored][:, :, ::-1]
        images_NCHW = self.model.normalise(torch.from_numpy(pixels_NHWC).to(self.device))
        mos_N = torch.from_numpy(self.train.mos_N[chosen]).to(self.device, torch.float32)
        labels_N5 = torch.from_numpy(self.train.labels_N5[chosen]).to(self.device)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            prediction = self.parallel(images_NCHW)
        loss = quality_loss(prediction, mos_N, labels_N5, self.model)
        if not torch.isfinite(loss):
            stage = self.stages[self.stage].name
            raise TrainingError(
                f"the loss became {loss.item()} in stage {stage}, epoch {self.epoch + 1}, step {step + 1}, at the "
                f"images {', '.join(image_ids)}; look at their MOS and votes, or lower train.{stage}.learning_rate"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss.detach().double()
