"""Architectures: one file each, one registry."""

from hybridq.models import ssl_quantum as ssl_quantum  # registers itself
from hybridq.models.hybrid import HybridModel
from hybridq.models.registry import build_model

__all__ = ["HybridModel", "build_model"]
