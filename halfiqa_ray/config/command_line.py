"""The command line of every job: a flag for each setting, and ``--config`` files, as steps in their order."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args, get_origin

import yaml

from halfiqa_ray.config import uris, values
from halfiqa_ray.config.section import Section
from halfiqa_ray.config.yaml_file import SettingsError, composed, is_nothing, pairs, read_yaml


@dataclass(frozen=True)
class Step:
    """A flag with its text, or a file of settings (``name`` is empty, ``text`` its path)."""

    name: str
    source: str
    text: str


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


class _Append(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, value: Any, option: str | None = None) -> None:
        name = "" if self.dest == "config" else self.dest
        namespace.steps.append(Step(name, option or "", "true" if self.nargs == 0 else str(value)))


def make_parser(
    program: str, description: str, sections: Sequence[str], kind: type[Section], only: bool = False
) -> argparse.ArgumentParser:
    """The parser of a job that uses some ``sections``. With ``only``, the others are left out: for completion."""
    parser = _Parser(
        prog=program,
        description=description,
        usage=f"{program} [--config FILE.yaml] [--SECTION.NAME VALUE ...]",
        allow_abbrev=False,
    )
    common = parser.add_argument_group("settings of every job")
    common.add_argument(
        "--config",
        action=_Append,
        metavar="FILE",
        help="YAML file with settings, or the name of one that comes with the package, such as data/biq2021; later "
        "ones and flags win.",
    )
    groups: dict[str, Any] = {"": common}
    for name, field in leaves(kind):
        section = name.rpartition(".")[0]
        is_shown = not section or name.split(".")[0] in sections
        if only and not is_shown:
            continue
        if is_shown and section not in groups:
            groups[section] = parser.add_argument_group(section)
        default = "" if field.default in (None, (), [], {}) else f" (default: {_written(field.default)})"
        groups.get(section, common).add_argument(
            f"--{name}",
            action=_Append,
            dest=name,
            **({"nargs": 0} if not section and field.annotation is bool else {"metavar": "VALUE"}),
            # Words that are none of a choice are told of with the others (`value_of`), not here.
            choices=get_args(field.annotation) if only and get_origin(field.annotation) is Literal else None,
            help=f"{field.description} [{values.words(field.annotation)}]{default}".replace("%", "%%")
            if is_shown
            else argparse.SUPPRESS,
        )
    return parser


def steps(
    program: str, description: str, sections: Sequence[str], kind: type[Section], arguments: Sequence[str]
) -> list[Step]:
    """What a command line gives, in its order. Shows ``--help`` and exits; raises SettingsError for no setting."""
    parser = make_parser(program, description, sections, kind)
    found, rest = parser.parse_known_args(arguments, argparse.Namespace(steps=[]))
    if rest:
        known = [option for action in parser._actions for option in action.option_strings]
        raise SettingsError(f"there is no setting {rest[0]}{_perhaps(rest[0].split('=')[0], known)}; --help lists them")
    return list(found.steps)


def leaves(kind: type[Section], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every single setting by its dotted name."""
    for name, field in kind.model_fields.items():
        if _is_section(field):
            yield from leaves(field.annotation, f"{above}{name}.")  # type: ignore[arg-type]
        else:
            yield f"{above}{name}", field


def from_file(file: str, kind: type[Section]) -> Iterator[tuple[str, str, yaml.Node]]:
    """Every setting that a file gives: its dotted name, file and line, and what is written. Raises SettingsError."""
    node = read_yaml(file)
    if node is not None:
        yield from _below(node, kind, "", file)


def _below(node: yaml.MappingNode, kind: type[Section], above: str, file: str) -> Iterator[tuple[str, str, yaml.Node]]:
    for name, value in pairs(node, file):
        source = f"{file}, line {value.start_mark.line + 1}"
        field = kind.model_fields.get(name)
        if field is None:
            where = f"section {above.rstrip('.')}" if above else "settings"
            near = _perhaps(name, list(kind.model_fields))
            raise SettingsError(f"{source}: there is no {above}{name} in the {where}{near}")
        if not _is_section(field):
            yield f"{above}{name}", source, value
        elif isinstance(value, yaml.MappingNode):
            yield from _below(value, field.annotation, f"{above}{name}.", file)  # type: ignore[arg-type]
        elif not is_nothing(value):
            raise SettingsError(f"{source}: {above}{name} is a section: write its settings below it, indented")


def value_of(name: str, source: str, given: str | yaml.Node, kind: type[Section]) -> Any:
    """The value of a setting, for pydantic to check. Raises SettingsError that names source, setting and text."""
    field: Any = None
    for part in name.split("."):
        field = (field.annotation if field else kind).model_fields[part]
    try:
        if isinstance(given, yaml.Node):
            return values.read(given, field.annotation, source)
        if given == "null" and values.may_be_none(field.annotation):
            return None
        if values.is_text(field.annotation):
            return given
        node = composed(given, source)
        if node is None:
            raise SettingsError("nothing is written there")
        return values.read(node, field.annotation, source)
    except SettingsError as error:
        said = str(error)
        raise SettingsError(
            said if said.startswith(source) else f"{source}: {name} is {shown(given)}: {said}"
        ) from None


def shown(given: str | yaml.Node) -> str:
    """What was given, as a message has it: short, and without the user part of a URI."""
    text = (
        given
        if isinstance(given, str)
        else given.value
        if isinstance(given, yaml.ScalarNode)
        else yaml.serialize(given)
    )
    found = uris.shown(text)
    return found if len(found) <= 82 else f"{found[:78]}...'"


def _is_section(field: Any) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _written(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"[{', '.join(map(str, default))}]" if isinstance(default, tuple | list) else str(default)


def _perhaps(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; perhaps {near[0]} is meant" if near else ""
