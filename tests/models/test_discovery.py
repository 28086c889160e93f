"""A model, a backbone and a source are one file each in their folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODEL = """
from hybridq.models.architectures.baseline import Baseline
from hybridq.models.backbones.registry import build_backbone
from hybridq.models.registry import model

@model("found", circuit=False)
def build(settings, channels, classes, circuit):
    return Baseline(build_backbone("found_cnn", channels=channels), circuit, classes, settings.dropout)
"""
BACKBONE = """
from torch import nn
from hybridq.models.backbones.registry import Backbone, backbone

@backbone("found_cnn")
def build(imagenet, channels):
    return Backbone(nn.Sequential(nn.Sequential(nn.Conv2d(channels, 8, 3, stride=2), nn.ReLU())), 8)
"""
SOURCE = '''
from hybridq.data.sources.registry import Options, source

class FoundOptions(Options):
    patients: int = 3

@source("found", FoundOptions)
def found(request):
    """Images that a file of this folder makes."""
    raise AssertionError
'''
FILES = {"models/architectures": MODEL, "models/backbones": BACKBONE, "data/sources": SOURCE}


def test_a_file_in_its_folder_is_all_that_a_part_needs(tmp_path: Path) -> None:
    """In a process of its own, with a second folder behind each package's."""
    for place, text in FILES.items():
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "mine.py").write_text(text)
    program = f"""
import importlib.util, sys
sys.path.insert(0, {str(Path.cwd())!r})
import importlib.machinery as machinery

class Wider:
    def find_spec(self, name, path=None, target=None):
        place = name.removeprefix("hybridq.").replace(".", "/")
        spec = machinery.PathFinder.find_spec(name, path, target)
        if place in {list(FILES)!r} and spec is not None:
            spec.submodule_search_locations.append({str(tmp_path)!r} + "/" + place)
        return spec

sys.meta_path.insert(0, Wider())
from hybridq.config import parse_experiment
from hybridq.data.sources import source_names
from hybridq.models.build import new_model
assert "found" in source_names(), source_names()
model = new_model(parse_experiment("{{name: a, data: {{source: synthetic, size: 32}}, model: {{name: found}}}}"), 2)
print(type(model).__name__, model.backbone.features)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["Baseline", "8"], done.stderr
