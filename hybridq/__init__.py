"""Hybrid quantum-classical medical image classifiers: trained on a simulator, run anywhere.

    import hybridq as hq

    run = hq.train("configs/ssl_quantum_synthetic.yaml")     # or hq.load("runs/mine")
    print(run.evaluate("fake_kingston").table())             # metric, value, 95 % interval
    print(run.compare(["aer", "fake_kingston"]).frame())     # what changed, paired, with intervals
    run.predict(["a.png", "b.dcm"])                          # a table, one row per image
    run.report()                                             # one HTML page

    plan = run.plan("ibm_kingston")                          # nothing is sent
    print(plan.describe())
    result = plan.submit(max_quantum_seconds=60).result()    # paid once

    layer = hq.quantum_layer(hq.CircuitSpec(qubits=4, layers=2), backend="fake_kingston")

The names below are public, and so are their public methods; everything else may move. They are resolved on first use:
importing this package loads neither torch nor Qiskit nor pandas.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any


def _refuse_foreign_backends() -> None:
    """Say so where the first ``backends`` on Python's path is not the one beside this package."""
    spec = find_spec("backends")
    if spec is None or spec.origin is None:
        return
    found = Path(spec.origin).resolve().parent
    if found != Path(__file__).resolve().parent.with_name("backends"):
        sentence = (
            f"{found} is in the way: hybridq needs its own package called backends; rename that folder or start Python "
            "in another one (the command hybridq is not affected)"
        )
        if sys.argv[:1] == ["-m"]:  # python -m hybridq, still looking for the module: a traceback would say no more
            print(f"hybridq: {sentence}", file=sys.stderr)
            sys.exit(2)
        raise ImportError(sentence)


_refuse_foreign_backends()

if TYPE_CHECKING:
    from backends import BackendError, open_backend
    from backends.names import list_backends
    from hybridq.config import Experiment
    from hybridq.data.sources import source_names as list_sources
    from hybridq.data.sources.registry import source as register_source
    from hybridq.errors import UserError
    from hybridq.models.backbones.registry import backbone as register_backbone
    from hybridq.models.backbones.registry import backbone_names as list_backbones
    from hybridq.models.registry import model as register_model
    from hybridq.models.registry import model_names as list_models
    from hybridq.quantum.circuits import CircuitSpec
    from hybridq.quantum.layer import QuantumLayer, quantum_layer
    from hybridq.results.comparison import Comparison
    from hybridq.results.evaluation import Evaluation
    from hybridq.results.scores import score
    from hybridq.run import Run, load, load_config, train
    from hybridq.study import Study, load_study
    from hybridq.submission import Submission, SubmissionPlan

_HOME = {
    "BackendError": ("backends.errors", "BackendError"),
    "CircuitSpec": ("hybridq.quantum.circuits", "CircuitSpec"),
    "Comparison": ("hybridq.results.comparison", "Comparison"),
    "Evaluation": ("hybridq.results.evaluation", "Evaluation"),
    "Experiment": ("hybridq.config", "Experiment"),
    "QuantumLayer": ("hybridq.quantum.layer", "QuantumLayer"),
    "Run": ("hybridq.run", "Run"),
    "Study": ("hybridq.study", "Study"),
    "Submission": ("hybridq.submission", "Submission"),
    "SubmissionPlan": ("hybridq.submission", "SubmissionPlan"),
    "UserError": ("hybridq.errors", "UserError"),
    "list_backbones": ("hybridq.models.backbones.registry", "backbone_names"),
    "list_backends": ("backends.names", "list_backends"),
    "list_models": ("hybridq.models.registry", "model_names"),
    "list_sources": ("hybridq.data.sources", "source_names"),
    "load": ("hybridq.run", "load"),
    "load_config": ("hybridq.run", "load_config"),
    "load_study": ("hybridq.study", "load_study"),
    "open_backend": ("backends.open", "open_backend"),
    "quantum_layer": ("hybridq.quantum.layer", "quantum_layer"),
    "register_backbone": ("hybridq.models.backbones.registry", "backbone"),
    "register_model": ("hybridq.models.registry", "model"),
    "register_source": ("hybridq.data.sources.registry", "source"),
    "score": ("hybridq.results.scores", "score"),
    "train": ("hybridq.run", "train"),
}
"""Where each public name lives, and what it is called there."""

__all__ = [
    "BackendError",
    "CircuitSpec",
    "Comparison",
    "Evaluation",
    "Experiment",
    "QuantumLayer",
    "Run",
    "Study",
    "Submission",
    "SubmissionPlan",
    "UserError",
    "__version__",
    "list_backbones",
    "list_backends",
    "list_models",
    "list_sources",
    "load",
    "load_config",
    "load_study",
    "open_backend",
    "quantum_layer",
    "register_backbone",
    "register_model",
    "register_source",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("hybridq-medical")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOME[name]
    return getattr(importlib.import_module(module), there)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
