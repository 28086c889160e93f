"""Files of exported modules: written, and read back as a function, without pickle."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hybridq.errors import UserError

Restored = Callable[[Tensor], Tensor]
"""A module that was read back."""

ABOUT: Final = "hybridq.json"
"""What a file is, inside a ``.pt2`` file; in ONNX the metadata ``hybridq``."""

ONNX_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")


def trace(module: nn.Module, example: Tensor, name: str) -> ExportedProgram:
    """The module as a graph for any number of samples; ``example`` has two, ``name`` is that of its argument."""
    batch = torch.export.Dim("batch")
    return torch.export.export(module, (example,), dynamic_shapes={name: {0: batch}})


def write_pt2(program: ExportedProgram, path: Path, about: Mapping[str, Any]) -> None:
    """A file for ``torch.export.load``. Nothing in it is pickled: weights are raw numbers beside JSON."""
    program.example_inputs = None  # the one thing that torch would pickle
    buffer = io.BytesIO()  # given a path, torch would name a folder in the file after it
    torch.export.save(program, buffer, extra_files={ABOUT: json.dumps(about)})
    path.write_bytes(buffer.getvalue())


def read_pt2(path: Path) -> Restored:
    module = torch.export.load(path).module()
    return lambda inputs: module(inputs)


def check_onnx_packages() -> None:
    """Raise :class:`UserError` where what ONNX needs is not installed."""
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"--onnx needs {', '.join(missing)}: pip install 'hybridq-medical[onnx]'")


def write_onnx(program: ExportedProgram, path: Path, about: Mapping[str, Any]) -> None:
    """One ONNX file with its weights; the input keeps its name in the program, the output is ``probabilities``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = torch.onnx.export(program, verbose=False, output_names=["probabilities"])
    assert converted is not None
    converted.model.metadata_props["hybridq"] = json.dumps(about)
    converted.save(path, external_data=False)


def read_onnx(path: Path) -> Restored:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = [found.name for found in session.get_inputs()]
    return lambda inputs: torch.from_numpy(np.asarray(session.run(None, {name: inputs.numpy()})[0]))
