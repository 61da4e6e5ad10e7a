"""The space of a search: which settings vary and how, checked before anything starts, and the trials drawn from it.

A name is that of a setting below ``model`` or ``train`` (``train.main.learning_rate``); below a section of free
settings (``model.options``) it may be any. No Ray.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from halfiqa_ray.config import ModelSettings, Settings, TrainSettings, fingerprint
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.schedule import derived_seed, stages
from halfiqa_ray.training.run_folder import MACHINE

RANGES = ("uniform", "log_uniform", "integer")
KINDS = ("choice", *RANGES)
DIGITS = 3  # significant ones of a drawn number: more would say nothing, and a person reads them
DRAWS = 100  # tries at each trial before the space is called empty
# Not searched: what names the folders, and what changes the speed alone.
FIXED = MACHINE | {"run"}


class SearchSpaceError(ValueError):
    """A space that cannot be searched."""


@dataclass(frozen=True)
class Trial:
    """One combination: its number, from 1, and its settings by name."""

    number: int
    values: dict[str, Any]


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """``settings`` with some replaced, by dotted name. Raises ValidationError where they refuse a value."""
    plain = settings.model_dump()
    for name, value in values.items():
        place = plain
        *sections, last = name.split(".")
        for section in sections:
            place = place[section]
        place[last] = value
    return Settings.model_validate(plain)


def value_of(settings: Settings, name: str) -> Any:
    """One setting by its dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def check_space(settings: Settings) -> None:
    """Raise SearchSpaceError for the first name, kind, bound or value in ``tune.space`` that cannot be searched."""
    space = settings.tune.space
    if not space:
        raise SearchSpaceError("tune.space is empty; configs/tune/ has spaces to start from")
    names = searchable()
    for name, ways in space.items():
        free = names.get(name.rpartition(".")[0], False)
        if not free and names.get(name, True):
            near = difflib.get_close_matches(name, [known for known in names if not names[known]], 1)
            raise SearchSpaceError(
                f"tune.space: {name} is not a setting of the model or of its training that can be searched"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        if len(ways) != 1 or not ways.keys() <= set(KINDS):
            raise SearchSpaceError(f"tune.space: {name} needs one of {', '.join(KINDS)}, got {', '.join(ways) or '{}'}")
        ((kind, values),) = ways.items()
        _check_values(name, kind, values)
        drawn = [_drawn(kind, values, np.random.default_rng(0))]  # an integer setting refuses what uniform gives
        for value in [*values, *drawn]:
            try:
                with_values(settings, {name: value})
            except ValidationError as error:
                raise SearchSpaceError(f"tune.space: {name} cannot be {value}: {error.errors()[0]['msg']}") from error


def searchable() -> dict[str, bool]:
    """All names that may be searched; True for sections of free settings, of which any name below may."""
    found = dict(_names(ModelSettings, "model")) | dict(_names(TrainSettings, "train"))
    fixed = {"model.name", *(f"train.{name}" for name in FIXED)}
    return {name: free for name, free in found.items() if name not in fixed}


def _names(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, bool]]:
    for name, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _names(kind, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", isinstance(field.default, dict)


def _check_values(name: str, kind: str, values: list[Any]) -> None:
    if kind == "choice":
        if not values:
            raise SearchSpaceError(f"tune.space: {name} has nothing to choose from")
        return
    wanted = int if kind == "integer" else (int, float)
    if len(values) != 2 or not all(isinstance(value, wanted) and not isinstance(value, bool) for value in values):
        kinds = "whole numbers" if kind == "integer" else "numbers"
        raise SearchSpaceError(f"tune.space: {name} needs {kind}: [low, high], two {kinds}, got {values}")
    low, high = values
    if not (low < high and np.isfinite([low, high]).all()) or (kind == "log_uniform" and low <= 0):
        above = " above 0" if kind == "log_uniform" else ""
        raise SearchSpaceError(f"tune.space: {name} needs {kind}: [low, high] with low{above} below high, got {values}")


def _drawn(kind: str, values: list[Any], random: np.random.Generator) -> Any:
    if kind == "choice":
        return values[random.integers(len(values))]
    low, high = values
    if kind == "integer":
        return int(random.integers(low, high, endpoint=True))
    raw = np.exp(random.uniform(np.log(low), np.log(high))) if kind == "log_uniform" else random.uniform(low, high)
    return float(min(max(float(f"{raw:.{DIGITS}g}"), low), high))


def draw_trials(settings: Settings, mos_scale: MosScale) -> tuple[list[Trial], list[str]]:
    """``tune.trials`` different combinations, and why others that were drawn were refused.

    A combination that the model or the schedule refuses is drawn again. What a trial gets depends on the seed, its
    number, the names, and what was refused or drawn before. Raises SearchSpaceError when the space has too few
    combinations.
    """
    check_space(settings)
    trials: list[Trial] = []
    refused: list[str] = []
    seen: set[str] = set()
    built: dict[str, str | None] = {}
    for number in range(1, settings.tune.trials + 1):
        for attempt in range(DRAWS):
            values = _combination(settings, number, attempt)
            key = fingerprint(values)
            if key in seen:
                continue
            seen.add(key)
            reason = _refusal(with_values(settings, values), mos_scale, built)
            if reason is None:
                trials.append(Trial(number, values))
                break
            refused.append(f"{_told(values)}: {reason}")
        else:
            raise SearchSpaceError(
                f"tune.space: no combination was found for trial {number} of {settings.tune.trials}: in {DRAWS} tries "
                f"all had been drawn before or were refused"
                + (f", the last ({refused[-1]})" if refused else "")
                + "; widen the space or lower tune.trials"
            )
    return trials, refused


def _combination(settings: Settings, number: int, attempt: int) -> dict[str, Any]:
    """The values of one draw, every one with its own seed: adding a name leaves the others as they are."""
    values = {}
    for name, ways in settings.tune.space.items():
        ((kind, options),) = ways.items()
        seed = derived_seed("tune", settings.seed, number, attempt, name)
        values[name] = _drawn(kind, options, np.random.default_rng(seed))
    return values


def _refusal(settings: Settings, mos_scale: MosScale, built: dict[str, str | None]) -> str | None:
    """Why no fit can be made of ``settings``; None when one can. ``built`` remembers models that were tried."""
    model = settings.model
    try:
        if not stages(settings.train):
            return "no stage has epochs"
    except ValueError as error:
        return str(error)
    key = fingerprint(model)
    if key not in built:
        try:
            unread = {
                "backbone": model.backbone.model_copy(update={"weights": "none"}),
                "dbcnn": model.dbcnn.model_copy(update={"scnn_weights": "none"}),
            }
            build_model(model.model_copy(update=unread), mos_scale)
            built[key] = None
        except Exception as error:  # what torch and timm think of a combination comes in many kinds
            built[key] = str(error) or type(error).__name__
    return built[key]


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
