"""The keys of a configuration as a person and an editor ask for them: a list with sentences, and a JSON schema."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hybridq.config import SYSTEMS, Experiment, Model, Section
from hybridq.errors import UserError

FOLDER: Final = Path(__file__).parent / "schemas"
"""The schemas that are shipped, one file for each kind of configuration."""
FIRST_LINE: Final = "# yaml-language-server: $schema="
"""Begins the first line of a configuration, from which an editor knows the schema."""
OVERRIDES: Final = "keys of an experiment with values, such as model.alpha: 0"
"""Stands as ``$comment`` in the schema of what holds such keys."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Key:
    """One key, or one section, of a configuration."""

    name: str
    """With the sections around it, such as ``train.epochs``."""
    allowed: str
    """Type and range in words; "section" of a section."""
    default: str
    """As it is written in YAML; "" of a section, and of a key that must be given."""
    required: bool
    sentence: str
    also: str = ""
    """Where its default is another one, such as by the model's name; "" where it is always that one."""


def list_keys(root: type[BaseModel], prefix: str = "") -> list[Key]:
    """Return the keys of a configuration in the order of the file, those that begin with ``prefix``.

    Raises :class:`UserError` if there is none, with the nearest.
    """
    schema = json_schema(root)
    everything = list(_keys(root, schema, schema, "", None))
    found = [key for key in everything if key.name.startswith(prefix.strip())]
    if not found:
        names = [key.name for key in everything]
        leaf = prefix.strip().rpartition(".")[2].lower()
        near = [name for name in names if leaf and leaf in name.rpartition(".")[2]]
        near += difflib.get_close_matches(prefix.strip(), names, n=3, cutoff=0.6)
        hint = f"did you mean {', '.join(dict.fromkeys(near))}?" if near else f"known: {', '.join(_tops(names))}"
        raise UserError(f"no key begins with {prefix!r}; {hint}")
    return found


def json_schema(root: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a configuration, with the sentence of every key.

    It knows the plain spelling alone: the command also takes lists without brackets, empty sections, and ``yes`` for
    ``true``.
    """
    schema: dict[str, Any] = {"$schema": DIALECT, **root.model_json_schema()}
    parts = schema.get("$defs", {})
    for section in _sections_in(root):
        part = schema if section is root else parts[section.__name__]
        part["description"] = _plain(inspect.getdoc(section) or "")
        said = _sentences(section)
        for name, described in part["properties"].items():
            described.pop("title", None)
            if name in said:
                described["description"] = said[name]
    if root is not Experiment:
        _allow_overrides(schema)
    return schema


def _allow_overrides(schema: dict[str, Any]) -> None:
    """Give what holds keys of an experiment, such as the models of a study, the schema of each of these keys."""
    holders = list(_holders(schema))
    if not holders:
        return
    experiment = json_schema(Experiment)
    overrides = {"type": "object", "additionalProperties": False, "properties": {}}
    overrides["properties"] = dict(_by_dotted_key(experiment, experiment, ""))
    schema["$defs"] = schema.get("$defs", {}) | experiment["$defs"] | {"Overrides": overrides}
    for holder in holders:
        holder.pop("type")
        holder.pop("additionalProperties", None)
        holder["$ref"] = "#/$defs/Overrides"


def _holders(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict) and node.get("$comment") == OVERRIDES:
        yield node
    elif isinstance(node, (dict, list)):
        for below in node.values() if isinstance(node, dict) else node:
            yield from _holders(below)


def _by_dotted_key(part: dict[str, Any], schema: dict[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, described in part["properties"].items():
        yield f"{above}{name}", described
        for one in (described, *described.get("anyOf", ())):
            if "$ref" in one:
                inner = schema["$defs"][one["$ref"].rpartition("/")[2]]
                yield from _by_dotted_key(inner, schema, f"{above}{name}.")


def _keys(
    section: type[BaseModel], part: dict[str, Any], schema: dict[str, Any], above: str, given: BaseModel | None
) -> Iterator[Key]:
    """The keys of ``section``, whose schema is ``part``; ``given`` is what stands there when nobody writes it."""
    for name, field in section.model_fields.items():
        described = part["properties"][name]
        inner = _inner(field.annotation)
        default = field.get_default(call_default_factory=True)
        stands = default if given is None else getattr(given, name)
        full = f"{above}{name}"
        sentence = described.get("description", "")
        if inner is not None:
            words = [word for word in (_words(one, schema) for one in described.get("anyOf", ())) if word != "section"]
            below = stands if isinstance(stands, BaseModel) else None
            yield Key(full, ", or ".join(["section", *words]), "", field.is_required(), sentence)
            yield from _keys(inner, schema["$defs"][inner.__name__], schema, f"{full}.", below)
            continue
        also = _by_model(name) if section is Model else ""
        if default is not PydanticUndefined and stands != default:
            also = f"{in_one_line(default)} where its section is given without it"
        shown = "" if field.is_required() else in_one_line(stands)
        yield Key(full, _words(described, schema), shown, field.is_required(), sentence, also)
        if (named := _inner_by_name(field.annotation)) is not None:
            yield from _keys(named, schema["$defs"][named.__name__], schema, f"{full}.NAME.", None)


def _by_model(key: str) -> str:
    others = [f"{in_one_line(defaults[key])} for {name}" for name, defaults in SYSTEMS.items() if key in defaults]
    return ", ".join(others)


def _words(described: dict[str, Any], schema: dict[str, Any]) -> str:
    """Type and range of a value, from its schema."""
    if "$comment" in described:
        return str(described["$comment"])
    if "$ref" in described:
        return "section"
    if "anyOf" in described:
        return " or ".join(dict.fromkeys(_words(one, schema) for one in described["anyOf"]))
    if "enum" in described or "const" in described:
        return " or ".join(in_one_line(value) for value in described.get("enum", [described.get("const")]))
    match described.get("type"):
        case "null":
            return "null"
        case "boolean":
            return "true or false"
        case "integer" | "number" as kind:
            return kind + _range(described)
        case "array":
            return _list(described, schema)
        case "object":
            inside = [described.get("additionalProperties"), *described.get("patternProperties", {}).values()]
            return f"names, each with {next((_words(one, schema) for one in inside if one), 'values')}"
        case "string":
            return "text"
        case list() as kinds:
            return " or ".join(_words({"type": kind}, schema) for kind in kinds)
    return "any value"


def _range(described: dict[str, Any]) -> str:
    low, high = described.get("minimum"), described.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    ends = {
        "at least": low,
        "above": described.get("exclusiveMinimum"),
        "at most": high,
        "below": described.get("exclusiveMaximum"),
    }
    said = [f"{word} {end:,g}" if end < 2**31 else f"{word} 2^31" for word, end in ends.items() if end is not None]
    return f" {' and '.join(said)}" if said else ""


def _list(described: dict[str, Any], schema: dict[str, Any]) -> str:
    if "prefixItems" in described:
        return f"[{', '.join(_words(item, schema) for item in described['prefixItems'])}]"
    item = _words(described.get("items", {}), schema)
    return f"list, each {item}"


def in_one_line(value: Any) -> str:
    """Return the value as it stands in a configuration, in one line whatever is in it."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


def _inner(annotation: Any) -> type[Section] | None:
    """The section that a value is, or may be; not those of a mapping by names."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation if issubclass(annotation, Section) else None
    if typing.get_origin(annotation) in (dict, list, tuple):
        return None
    return next((found for part in typing.get_args(annotation) if (found := _inner(part)) is not None), None)


def _inner_by_name(annotation: Any) -> type[Section] | None:
    """The section of which a mapping has one by each name."""
    return _inner(typing.get_args(annotation)[1]) if typing.get_origin(annotation) is dict else None


def _sections_in(root: type[BaseModel]) -> list[type[BaseModel]]:
    """The section and all that are inside it, in mappings and lists too, each once."""
    found: dict[type[BaseModel], None] = {root: None}

    def look(annotation: Any) -> None:
        if isinstance(annotation, type) and typing.get_origin(annotation) is None:
            if issubclass(annotation, BaseModel) and annotation not in found:
                found[annotation] = None
                for field in annotation.model_fields.values():
                    look(field.annotation)
            return
        for part in typing.get_args(annotation):
            look(part)

    for field in root.model_fields.values():
        look(field.annotation)
    return list(found)


def _sentences(section: type[BaseModel]) -> dict[str, str]:
    """The sentence below each key in the source, by key."""
    said: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if not issubclass(one, BaseModel) or one in (BaseModel, Section):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        for key, below in zip(body.body, body.body[1:], strict=False):
            match key, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    said[name] = _plain(text)
    return said


def _plain(text: str) -> str:
    """The first paragraph in one line and in words of YAML, without marks of reStructuredText."""
    line = " ".join(text.partition("\n\n")[0].split()).replace("``", "")
    return re.sub(r"\bNone\b", "null", re.sub(r":[a-z]+:`[~.]*([^`]+)`", r"\1", line))


def _tops(names: list[str]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in names))
