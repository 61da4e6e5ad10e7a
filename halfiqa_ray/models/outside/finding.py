"""From what a setting like ``zero.models`` names to the settings of a model that is not ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from halfiqa_ray.config import ModelSettings, from_files
from halfiqa_ray.models.offered import GROUP, offered
from halfiqa_ray.models.outside.naming import NAME, OutsideError

PREFIX = f"{NAME}:"


def find_outside(named: str, own: ModelSettings) -> ModelSettings | None:
    """The settings of an outside model, or None where ``named`` is the name or folder of one of ours.

    ``outside`` is that of the job's ``own`` settings, ``outside:NAME`` what an installed package offers by that name,
    and what ends in ``.yaml`` a file of settings whose model is outside. Nothing is imported but the entry point that
    is named. Raises OutsideError, and ValueError for a file that cannot be read.
    """
    if named == NAME:
        if own.name != NAME:
            raise OutsideError(
                f"{NAME} is named, but model.name is {own.name}: set model.name to {NAME}, and model.outside"
            )
        return own
    if named.startswith(PREFIX):
        return _of_entry_point(named.removeprefix(PREFIX))
    if not named.endswith((".yaml", ".yml")):
        return None
    settings = from_files(named).model
    if settings.name != NAME:
        raise OutsideError(
            f"{named}: its model.name is {settings.name}; a file that is named as a model describes one that is not "
            f"ours, with model.name {NAME}; one of ours is named by its name or checkpoint folder"
        )
    return settings


def _of_entry_point(name: str) -> ModelSettings:
    """What the entry point says: the section ``model`` of a file of settings, as a mapping."""
    points = list(metadata.entry_points(group=GROUP, name=name))
    if len(points) != 1:
        there = ", ".join(sorted(offered())) or "none"
        many = f"{len(points)} installed packages offer" if points else "no installed package offers"
        raise OutsideError(f"{PREFIX}{name}: {many} a model of that name (entry points {GROUP}); there is {there}")
    [point] = points
    whose = f"{PREFIX}{name} ({point.value})"
    try:
        found: Any = point.load()
    except Exception as error:
        raise OutsideError(f"{whose} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping):
        raise OutsideError(
            f"{whose} is a {type(found).__name__}; an entry point of {GROUP} is a mapping like the section model of a "
            f"file of settings: {{'height': 384, 'width': 512, 'outside': {{'factory': 'package.module:function'}}}}"
        )
    given = {"name": NAME} | dict(found)
    outside = given.get("outside", {})
    if isinstance(outside, Mapping) and re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", name):
        given["outside"] = {"name": name} | dict(outside)
    try:
        settings = ModelSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OutsideError(f"{whose}: model.{place}: {first['msg'].removeprefix('Value error, ')}") from None
    if settings.name != NAME:
        raise OutsideError(f"{whose}: its name is {settings.name}; it must be {NAME}")
    return settings
