"""Small faults that a module can be given: another operator, another constant, an argument or a statement less."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_COMPARED: Final = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: Final = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLED: Final = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "argmin": "argmax",
    "argmax": "argmin",
    "minimum": "maximum",
    "maximum": "minimum",
    "floor": "ceil",
    "ceil": "floor",
}
_LEFT: Final = {"annotation", "returns", "decorator_list", "exc", "cause"}
"""Fields that are left as they are: types, and the words of errors."""
_LEFT_OUT: Final = {"strict", "dtype", "encoding", "progress"}
"""Keyword arguments that no result depends on where the call is right."""


@dataclass(frozen=True)
class Fault:
    """A module with one small fault."""

    lines: range
    """Those of the changed statement, without the statements in it."""
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.before}  →  {self.after}"


def faults(source: str, number: int, seed: str) -> list[Fault]:
    """Return ``number`` different faults, or as many as there are, drawn with ``seed``; on lines of their own first."""
    tree = ast.parse(source)
    places = list(_changes(tree, None))
    random.Random(seed).shuffle(places)
    taken: dict[int, int] = {}
    ranked = []
    for place in places:
        line = place[0].lineno
        ranked.append((taken.get(line, 0), len(ranked), place))
        taken[line] = taken.get(line, 0) + 1
    return [_with(tree, *place) for _, _, place in sorted(ranked, key=lambda rank: rank[:2])[:number]]


def replaced(source: str, before: str, after: str) -> Fault:
    """Return the fault of one piece of source in another's place; ValueError unless ``before`` is there once."""
    if source.count(before) != 1:
        raise ValueError(f"{before!r} is there {source.count(before)} times")
    first = source[: source.index(before)].count("\n") + 1
    return Fault(range(first, first + before.count("\n") + 1), before, after, source.replace(before, after))


_Change = tuple[ast.stmt, ast.AST, str, Any]


def _with(tree: ast.Module, statement: ast.stmt, node: ast.AST, field: str, new: Any) -> Fault:
    """The tree with one field of one node changed; the tree is left as it was."""
    old, before = getattr(node, field), _head(statement)
    setattr(node, field, new)
    after = "pass" if isinstance(new, list) and any(isinstance(item, ast.Pass) for item in new) else _head(statement)
    inner = getattr(statement, "body", None)
    end = inner[0].lineno if inner else (statement.end_lineno or statement.lineno) + 1
    lines = range(statement.lineno, max(end, statement.lineno + 1))
    fault = Fault(lines, before, after, ast.unparse(tree))
    setattr(node, field, old)
    return fault


def _head(statement: ast.stmt) -> str:
    """A statement without the statements in it."""
    return ast.unparse(statement).partition("\n")[0]


def _changes(node: ast.AST, statement: ast.stmt | None) -> Iterator[_Change]:
    """Yield all faults below ``node``, in the order of the source."""
    if isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.stmt):
        statement = node
    if statement is not None:
        yield from ((statement, *change) for change in _of(node))
    for field, value in ast.iter_fields(node):
        if field in _LEFT:
            continue
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.keyword) and child.arg in _LEFT_OUT:
                continue
            for new in _instead(child):
                changed = [*children[:index], new, *children[index + 1 :]] if isinstance(value, list) else new
                yield child if isinstance(child, ast.stmt) else statement, node, field, changed  # type: ignore[misc]
            # Any negative length of a shape is the one to be found.
            any_length = (
                isinstance(child, ast.UnaryOp) and getattr(getattr(node, "func", None), "attr", "") == "reshape"
            )
            if isinstance(child, ast.AST) and not any_length:
                yield from _changes(child, statement)


def _instead(node: Any) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    called = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom)
    if called or isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break | ast.Delete):
        yield ast.Pass()


def _of(node: ast.AST) -> Iterator[tuple[ast.AST, str, Any]]:
    """Yield what may be changed in a node itself: the node, its field and the new value."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            if other := _COMPARED.get(type(operator)):
                yield node, "ops", [*node.ops[:index], other(), *node.ops[index + 1 :]]
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        other = _COMPUTED.get(type(node.op))
        if other and not any(_is_text(child) for child in ast.iter_child_nodes(node)):
            yield node, "op", other()
    elif isinstance(node, ast.BoolOp):
        yield node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield node, "value", not node.value
        elif isinstance(node.value, int):
            yield node, "value", node.value + 1
        elif isinstance(node.value, float):
            yield node, "value", node.value * 2 or 1.0
    elif isinstance(node, ast.Call):
        for field in ("args", "keywords"):
            given = getattr(node, field)
            for index, argument in enumerate(given):
                if not (isinstance(argument, ast.keyword) and argument.arg in _LEFT_OUT):
                    yield node, field, [*given[:index], *given[index + 1 :]]
        name = "id" if isinstance(node.func, ast.Name) else "attr"
        if other_name := _CALLED.get(getattr(node.func, name, "")):
            yield node.func, name, other_name


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
