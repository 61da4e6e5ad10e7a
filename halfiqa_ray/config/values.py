"""From what is written to what a setting is: the setting's own type decides, never the look of the text."""

from __future__ import annotations

import math
import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from halfiqa_ray.config.yaml_file import SettingsError, is_nothing, pairs

TRUE, FALSE = {"true", "yes", "on"}, {"false", "no", "off"}
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
NUMBER = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?")


def read(node: yaml.Node, kind: Any, file: str) -> Any:
    """The value of a node for a setting of ``kind``, for pydantic to check. Raises SettingsError, without the name."""
    kind = _plain(kind)
    if get_origin(kind) in (Union, types.UnionType):
        if is_nothing(node):
            return None
        [kind] = [each for each in get_args(kind) if each is not types.NoneType]
        return read(node, kind, file)
    if is_nothing(node):
        raise SettingsError('nothing is written there; leave the line out, or put the word in quotes ("null")')
    if kind is Any:
        return _anything(node, file)
    origin = get_origin(kind) or kind
    if origin in (tuple, list):
        return _list(node, kind, file)
    if origin is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return _mapping(node, kind, file)
    if not isinstance(node, yaml.ScalarNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else "a group of settings"
        raise SettingsError(f"it is one value, and {what} was read")
    return scalar(node.value, kind)


def scalar(text: str, kind: Any) -> Any:
    """The value of one text, as it is written or as it comes from the command line."""
    kind = _plain(kind)
    if kind is bool:
        return _truth(text)
    if kind is int:
        return _whole(text)
    if kind is float:
        return _number(text)
    return text  # names, paths and words of a choice are what is written


def is_text(kind: Any) -> bool:
    """Whether a setting is a single text or word, which the command line gives without quotes."""
    kind = _plain(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return all(each is types.NoneType or is_text(each) for each in get_args(kind))
    return kind is str or get_origin(kind) is Literal


def may_be_none(kind: Any) -> bool:
    """Whether a setting may be not set."""
    return types.NoneType in get_args(kind)


def words(kind: Any) -> str:
    """A type in words, for ``--help``."""
    kind = _plain(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join("null" if each is types.NoneType else words(each) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) in (tuple, list):
        return "list, such as [a, b]"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(kind, "YAML")


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _list(node: yaml.Node, kind: Any, file: str) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        given = node.value if isinstance(node, yaml.ScalarNode) else "a group of settings"
        inside = ", ".join(word.strip() for word in given.split(",")) if isinstance(given, str) else ""
        raise SettingsError(f"it is a list: write [{inside}] (in quotes on the command line: '[{inside}]')")
    kinds = get_args(kind) or (Any,)
    one = len(kinds) == 1 or kinds[-1] is Ellipsis
    if not one and len(node.value) != len(kinds):
        raise SettingsError(f"it has {len(kinds)} values, and {len(node.value)} were read")
    return [read(each, kinds[0] if one else kinds[place], file) for place, each in enumerate(node.value)]


def _mapping(node: yaml.Node, kind: Any, file: str) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError("it is a group of settings: write {name: value}")
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields
        for name, _ in pairs(node, file):
            if name not in fields:
                raise SettingsError(f"there is no setting {name!r} in it; there is {', '.join(fields)}")
        return {name: read(value, fields[name].annotation, file) for name, value in pairs(node, file)}
    of = get_args(kind)[1] if get_args(kind) else Any
    return {name: read(value, of, file) for name, value in pairs(node, file)}


def _anything(node: yaml.Node, file: str) -> Any:
    """Where a setting takes what one likes: numbers, true, false and null are those of YAML 1.2, the rest is text."""
    if isinstance(node, yaml.MappingNode):
        return {name: _anything(value, file) for name, value in pairs(node, file)}
    if isinstance(node, yaml.SequenceNode):
        return [_anything(each, file) for each in node.value]
    assert isinstance(node, yaml.ScalarNode)  # noqa: S101  # there is no fourth kind
    text = node.value
    if node.style is not None:
        return text
    if is_nothing(node):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if WHOLE.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text) and not re.fullmatch(r"[-+]?0[0-9_]+", text):
        return float(text)
    return text


def _truth(text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise SettingsError("it is true or false")


def _whole(text: str) -> int:
    if WHOLE.fullmatch(text):
        return int(text)
    if re.fullmatch(r"[-+]?0[0-9_]+", text):
        raise SettingsError("a number that begins with 0 is read as octal by some: write it without")
    if NUMBER.fullmatch(text) and math.isfinite(float(text)) and float(text).is_integer():
        return int(float(text))
    raise SettingsError("it is a whole number")


def _number(text: str) -> float:
    if NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    raise SettingsError("it is a number" + (", with a point and no comma" if "," in text else ""))
