"""Mitigation of a run's circuit on one simulated backend: planned, run, and written as tables.

The learned correction sees training images only, and of them ⟨Z⟩ alone, no labels; nothing is fitted on the images that
are evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from backends import open_backend
from backends.aer import SimulatedCircuit
from backends.contract import Backend, CircuitProgram
from backends.names import parse_name
from backends.record import versions
from hybridq.errors import UserError
from hybridq.evaluation.inference import Inference
from hybridq.files import atomic_write, check_folder, write_json
from hybridq.quantum.engine.noisy.program import MAX_QUBITS
from hybridq.results.selection import ImageChoice, Selection
from hybridq.run_folder import RunFolder
from hybridq.studies.mitigation.device import SimulatedDevice
from hybridq.studies.mitigation.methods import CALIBRATION_CIRCUITS, learning_circuits, methods_for
from hybridq.studies.mitigation.outcome import repeat
from hybridq.studies.mitigation.tables import RECORD, TABLE, table_of
from hybridq.typing import FloatArray, Progress

TRAINING_IMAGES: Final = 32
"""Circuits on which the learned correction is fitted, unless told otherwise."""
REPETITIONS: Final = 20
"""Of an experiment with shots: a scatter is then known to one part in six."""


@dataclass(frozen=True)
class Mitigation:
    """A study that is ready to run."""

    inference: Inference
    """The images that are evaluated."""
    training: Inference
    """Those that the learned correction is fitted on."""
    backend: Backend
    program: CircuitProgram
    folder: Path
    seed_of_shots: int
    """The run's, unless the backend's name has one."""
    learned_noise: bool = False
    """Whether PEA and PEC are compared too."""

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never computed again."""
        return (self.folder / TABLE).is_file()


def plan_mitigation(
    inference: Inference,
    backend_name: str,
    *,
    training_images: int = TRAINING_IMAGES,
    learned_noise: bool = False,
) -> Mitigation:
    """Open the backend and choose ``training_images`` to learn from; nothing is run or written.

    ``learned_noise`` compares PEA and PEC as well, which makes it another study.

    Raises :class:`UserError` for hardware and noiseless backends, for the training split, for a model without a
    circuit or with one too large for exact noisy values, and where images are gone.
    """
    run, selection = inference.run, inference.selection
    seed, parsed = run.experiment.seed, parse_name(backend_name)
    if parsed.kind == "ibm":
        raise UserError(
            f"--backend {backend_name}: is hardware, of which saved evaluations are corrected; name a simulated one"
        )
    backend = open_backend(backend_name, seed=seed)
    if backend.kind in {"noiseless", "sampled"}:
        raise UserError(f"--backend {backend_name}: has no noise to mitigate; name a noisy one, such as fake_torino")
    if selection.split == "train":
        raise UserError("--split train: the learned correction is fitted there; validation or test")
    program = inference.program
    qubits = program.circuit.num_qubits
    if qubits > MAX_QUBITS:
        raise UserError(f"{run.folder}: its circuit has {qubits} qubits; mitigation is computed for up to {MAX_QUBITS}")
    training = inference.on(_draw(run, training_images))
    for chosen in (selection, training.selection):
        _ = chosen.located  # raises where images are gone
    also: dict[str, Any] = {"backend": backend.name, "training": training.selection.ids}
    if "@" in backend.name:  # another calibration is another study
        also["calibrated"] = getattr(backend, "calibrated", None)
    if learned_noise:
        also["learned_noise"] = True
    key = run.result_key(selection.split, selection.ids, **also)
    folder = run.result_folder("mitigation", backend.name, key)
    seed_of_shots = seed if parsed.seed is None else parsed.seed
    return Mitigation(inference, training, backend, program, folder, seed_of_shots, learned_noise)


def mitigate(plan: Mitigation, *, progress: Progress) -> Path:
    """Run it, write mitigation.csv and record.json, and return their folder; a finished one is returned as it is.

    Exact values are kept in ``circuits/`` as they come: the same command continues after it was killed. Raises
    :class:`backends.errors.BackendError` where the circuit cannot be folded or the noise cannot be scaled.
    """
    if plan.finished:
        return plan.folder
    check_folder(plan.folder)
    started = time.perf_counter()
    inference, learned, shots = plan.inference, plan.training, plan.backend.shots
    compiled = plan.backend.compile(plan.program)
    assert isinstance(compiled, SimulatedCircuit)
    if compiled.noise is None:
        raise UserError(f"--backend {plan.backend.name}: scale = 0 leaves no noise to mitigate")
    inference.progress = learned.progress = progress
    evaluated, training = inference.exact_values(), learned.exact_values()
    methods = methods_for(shots, learned_noise=plan.learned_noise)
    device = SimulatedDevice(
        compiled,
        inference.weights,
        inference.angles,
        learned.angles,
        [version for method in methods for version in method.versions],
        shots=shots,
        kept=partial(_kept, plan.folder / "circuits"),
        progress=partial(progress, f"circuits on {plan.backend.name}"),
    )
    repetitions = 1 if shots is None else REPETITIONS
    outcomes = repeat(
        device,
        methods,
        (evaluated, training),
        inference.probabilities,
        repetitions=repetitions,
        seed=plan.seed_of_shots,
        progress=partial(progress, "experiments"),
    )
    without_noise = inference.probabilities(evaluated)
    table = table_of(
        outcomes,
        without_noise,
        inference.selection,
        training_images=len(learned.selection.ids),
        overhead=device.overhead,
        learning=0 if device.noise is None else learning_circuits(device.noise.layers, shots),
        progress=partial(progress, "intervals"),
    )
    record = _record(plan, compiled, device) | {
        "repetitions": repetitions,
        "noiseless": {"auc": inference.objective.auc(inference.selection.truth, without_noise)},
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_json(plan.folder / RECORD, record)
    with atomic_write(plan.folder / TABLE) as partial_table:
        table.to_csv(partial_table, index=False)
    return plan.folder


def _draw(run: RunFolder, count: int) -> Selection:
    """Training images, drawn with the run's seed without a look at their labels."""
    splits = run.read_splits()
    rows = splits[splits["split"] == "train"]
    drawn = np.sort(np.random.default_rng([run.experiment.seed, 4]).permutation(len(rows))[:count])
    described = f"{len(drawn)} of {len(rows)}"
    return Selection(run, ImageChoice("train"), described, rows.iloc[drawn].reset_index(drop=True))


def _kept(folder: Path, name: str, compute: Callable[[], FloatArray]) -> FloatArray:
    path = folder / f"{name}.npy"
    if not path.is_file():
        values = compute()
        with atomic_write(path) as unfinished:
            np.save(unfinished, values)
    return np.asarray(np.load(path), dtype=np.float64)


def _record(plan: Mitigation, compiled: SimulatedCircuit, device: SimulatedDevice) -> dict[str, Any]:
    """What ran, JSON-ready."""
    selection, circuit = plan.inference.selection, ("depth", "two_qubit_gates")
    about = ("device", "calibrated", "calibration_read", "layout", "seed_transpiler", "scale", "source")
    return {
        "backend": plan.backend.name,
        "kind": plan.backend.kind,
        "simulated": True,
        **{name: compiled.record[name] for name in about if name in compiled.record},
        "shots": plan.backend.shots,
        "task": plan.inference.run.task,
        "split": selection.split,
        "samples": len(selection.ids),
        "selection": selection.described,
        "training_images": len(plan.training.selection.ids),
        "training_ids": plan.training.selection.ids,
        "calibration_circuits": CALIBRATION_CIRCUITS,
        "noise_factors": {
            str(factor): {name: folded.record[name] for name in circuit}
            for factor, folded in sorted(device.circuits.items())
        },
        **_about_noise(device),
        "versions": dict(versions()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _about_noise(device: SimulatedDevice) -> dict[str, Any]:
    """What is learned of the noise of gates; nothing where no method asks for it."""
    if device.noise is None:
        return {}
    about = {"layers": device.noise.layers, "overhead": device.noise.overhead, "not_cancelled": device.not_cancelled}
    return {"learned_noise": about}
