"""Architectures and backbones: one file each, which registers itself."""

from hybridq.discovery import import_all
from hybridq.models import architectures, backbones
from hybridq.models.classifier import Classifier
from hybridq.models.registry import build_model

for _parts in (backbones, architectures):
    import_all(_parts)

__all__ = ["Classifier", "build_model"]
