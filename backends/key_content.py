"""What names results on disk and what was paid for: fields of 2026-11-28, and newer ones that are not at their default.

A field that comes later so leaves every hash as it was where nobody uses it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, Field, asdict, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def key_content(one: DataclassInstance, first: Collection[str]) -> dict[str, Any]:
    """Return the fields of a dataclass by name; ``first`` are those that are always among them, from the beginning."""
    unused = {
        field.name for field in fields(one) if field.name not in first and getattr(one, field.name) == _default(field)
    }
    return {name: value for name, value in asdict(one).items() if name not in unused}


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
