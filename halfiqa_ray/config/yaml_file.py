"""A YAML file of settings as a tree of what is written there, before anybody guesses what it means.

YAML 1.1 reads 0042 as 34, no as false and 2024-06-01 as a date. Here a value is the text in the file until the setting
that it is for says what it is to be (`values`). One line says what is wrong, with the file and the line.
"""

from __future__ import annotations

import codecs
from pathlib import Path

import yaml

BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class SettingsError(ValueError):
    """A setting that cannot be used: where it was given, which one it is, what was read, and what to write."""


def read_yaml(file: str) -> yaml.MappingNode | None:
    """The sections of a file; None where there are none. Raises SettingsError."""
    text = _text(file)
    node = composed(text, file)
    if node is None or is_nothing(node):
        return None
    if not isinstance(node, yaml.MappingNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else repr(node.value)
        raise SettingsError(f"{file} is {what}, not sections of settings: write `data:` and settings below it, say")
    return node


def composed(text: str, file: str) -> yaml.Node | None:
    """YAML text as nodes. Raises SettingsError that begins with ``file``, and says the line where there are several."""
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = f"{file}, line {mark.line + 1}" if mark and text.count("\n") else file
        raise SettingsError(f"{said}: {_problem(text, error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(f"{file}, line {line}: the character {error.character!r} is not allowed in YAML") from None


def is_nothing(node: yaml.Node) -> bool:
    """Whether a value is null: written so, or left out."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.tag == "tag:yaml.org,2002:null"


def pairs(node: yaml.MappingNode, file: str) -> list[tuple[str, yaml.Node]]:
    """Names and values of a mapping, ``<<`` filled in. Raises SettingsError for a name that is there twice."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise SettingsError(f"{file}, line {key.start_mark.line + 1}: a setting's name is a word, not a list")
        line = key.start_mark.line + 1
        if key.value in seen:
            raise SettingsError(f"{file}, line {line}: {key.value} was set before, in line {seen[key.value]}: keep one")
        seen[key.value] = line
    loader = yaml.SafeLoader("")
    try:
        loader.flatten_mapping(node)
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"{file}, line {node.start_mark.line + 1}: {error.problem}") from None
    return [(key.value, value) for key, value in {key.value: (key, value) for key, value in node.value}.values()]


def _text(file: str) -> str:
    try:
        data = Path(file).expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}") from None
    encoding = next((name for mark, name in BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{file}, line {line}: this is not UTF-8; save the file in that encoding") from None


def _problem(text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    near = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in near[: len(near) - len(near.lstrip())] or "'\\t'" in (error.problem or ""):
        return "there is a tab; indent with spaces"
    if "another document" in (error.problem or ""):
        return "a second document begins (---): keep one"
    return ", ".join(filter(None, (error.context, error.problem)))
