"""YAML as it is written by hand: no key twice, a date is a text, and only true and false are truth values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hybridq.errors import UserError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with fewer words and digits that are no text.

    Dates, ``yes``, ``no``, ``on``, ``off``, numbers that begin with 0 and 12:30 stay the text that they are. What is
    resolved here is also resolved by :func:`yaml.safe_dump`, which therefore quotes texts that look like it.
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  (of PyYAML, and not its own list)


_FLOAT = r"[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|\.(?:inf|Inf|INF)"
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    ("float", rf"[-+]?(?:{_FLOAT})|\.(?:nan|NaN|NAN)", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises :class:`UserError` naming the file, and the lines of a key given twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; a configuration is a YAML file") from None
    return parse_settings(text, where=str(path))


def parse_settings(text: str, *, where: str) -> dict[str, Any]:
    """The same from YAML text; ``where`` names it in errors."""
    tree = parse_yaml(text, where=where)
    if not isinstance(tree, dict):
        raise UserError(f"{where}: holds no settings; expected a YAML mapping, lines such as key: value")
    return tree


def parse_yaml(text: str, *, where: str) -> Any:
    """One YAML document of any kind, None where there is none; raises :class:`UserError` beginning with ``where``."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        twice = list(_twice(node, "", set()))
        if twice:
            raise UserError(f"{where}: {'; '.join(twice)}")
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{where}: not valid YAML ({_reason(error)})") from None
    except RecursionError:
        raise UserError(f"{where}: not valid YAML (nested too deeply)") from None


def _twice(node: yaml.Node | None, above: str, seen: set[int]) -> Iterator[str]:
    """What is wrong with every key that stands twice in one mapping, with its lines, counted from 1."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item, above, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines and name != "<<":
            where = f"in lines {lines[name]} and {line}" if lines[name] < line else f"in line {line}"
            yield f"{above}{name} is given twice, {where}, and one of them would be lost"
        lines.setdefault(name, line)
        yield from _twice(value, f"{above}{name}.", seen)


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem}, in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    return " ".join(str(error).split())
