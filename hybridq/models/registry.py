"""One registry of architectures: a decorator on a function that builds the model from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from hybridq import config
from hybridq.errors import UserError
from hybridq.models.classifier import Classifier

Builder = Callable[[config.Model, int, int, nn.Module], Classifier]
_MODELS: dict[str, Builder] = {}
_WITHOUT_CIRCUIT: set[str] = set()


def model(name: str, *, circuit: bool = True) -> Callable[[Builder], Builder]:
    """Register a builder ``(settings, channels, classes, circuit) -> module`` under ``name``.

    ``circuit=False``: the model has none, and is given the identity.
    """

    def register(build: Builder) -> Builder:
        _MODELS[name] = build
        if not circuit:
            _WITHOUT_CIRCUIT.add(name)
        return build

    return register


def model_names() -> list[str]:
    """Return the names of the registered models, in order."""
    return sorted(_MODELS)


def has_place_for_circuit(settings: config.Model) -> bool:
    """Whether the model has a circuit, or a control in its place; raises :class:`UserError` for an unknown model."""
    _check_known(settings.name)
    return settings.name not in _WITHOUT_CIRCUIT


def build_model(settings: config.Model, channels: int, classes: int, circuit: nn.Module) -> Classifier:
    """The model that ``settings.name`` names; raises :class:`UserError` with the known names."""
    _check_known(settings.name)
    return _MODELS[settings.name](settings, channels, classes, circuit)


def _check_known(name: str) -> None:
    if name not in _MODELS:
        raise UserError(f"model.name = {name!r}; known: {', '.join(model_names())}")
