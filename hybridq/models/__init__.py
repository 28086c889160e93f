"""Architectures: one file each, one registry."""

from hybridq.models.architectures import baseline as baseline  # registers itself, like the next three
from hybridq.models.architectures import sequential as sequential
from hybridq.models.architectures import ssl_quantum as ssl_quantum
from hybridq.models.backbones import small as small
from hybridq.models.backbones import torchvision as torchvision
from hybridq.models.classifier import Classifier
from hybridq.models.registry import build_model

__all__ = ["Classifier", "build_model"]
