"""One registry of architectures: a decorator on a function that builds the model from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from hybridq import config
from hybridq.errors import UserError
from hybridq.models.hybrid import HybridModel
from hybridq.quantum.layer import QuantumLayer

Builder = Callable[[config.Model, int, QuantumLayer], HybridModel]
_MODELS: dict[str, Builder] = {}


def model(name: str) -> Callable[[Builder], Builder]:
    """Register a builder ``(settings, classes, quantum layer) -> module`` under ``name``."""

    def register(build: Builder) -> Builder:
        _MODELS[name] = build
        return build

    return register


def build_model(settings: config.Model, classes: int, circuit: QuantumLayer) -> HybridModel:
    """The model that ``settings.name`` names; raises :class:`UserError` with the known names."""
    if settings.name not in _MODELS:
        raise UserError(f"model.name = {settings.name!r}; known: {', '.join(sorted(_MODELS))}")
    return _MODELS[settings.name](settings, classes, circuit)
