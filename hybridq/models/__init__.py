"""Architectures: one file each, one registry."""

from hybridq.models import baseline as baseline  # registers itself, like the next three
from hybridq.models import sequential as sequential
from hybridq.models import small_backbones as small_backbones
from hybridq.models import ssl_quantum as ssl_quantum
from hybridq.models.classifier import Classifier
from hybridq.models.registry import build_model

__all__ = ["Classifier", "build_model"]
