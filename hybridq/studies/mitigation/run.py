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
from numpy.typing import NDArray

from backends import open_backend
from backends.aer import SimulatedCircuit
from backends.contract import Backend, CircuitProgram
from backends.names import parse_name
from backends.record import versions
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import circuit_of, compute_angles
from hybridq.evaluation.images import locate
from hybridq.files import atomic_write, check_folder, write_json
from hybridq.models.objectives import objective_of
from hybridq.quantum.engine.noisy.program import MAX_QUBITS
from hybridq.results.selection import Selection, choose_images, folder_name, key_of, weights_digest
from hybridq.run_folder import RunFolder
from hybridq.statistics.tasks import task_named
from hybridq.studies.mitigation.device import SimulatedDevice
from hybridq.studies.mitigation.methods import CALIBRATION_CIRCUITS, methods_for
from hybridq.studies.mitigation.noiseless import decision, noiseless_values
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

    run: RunFolder
    backend: Backend
    program: CircuitProgram
    selection: Selection
    training: Selection
    folder: Path
    seed_of_shots: int
    """The run's, unless the backend's name has one."""

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never computed again."""
        return (self.folder / TABLE).is_file()


def plan_mitigation(
    run: RunFolder,
    backend_name: str,
    *,
    split: str = "test",
    limit: int | None = None,
    stratified: bool = False,
    training_images: int = TRAINING_IMAGES,
) -> Mitigation:
    """Open the backend, choose images to evaluate and ``training_images`` to learn from; nothing is run or written.

    Raises :class:`UserError` for hardware and noiseless backends, for the training split, for a model without a
    circuit or with one too large for exact noisy values, and as :func:`hybridq.results.selection.choose_images`.
    """
    seed, parsed = run.experiment().seed, parse_name(backend_name)
    if parsed.kind == "ibm":
        raise UserError(
            f"--backend {backend_name}: is hardware, of which saved evaluations are corrected; name a simulated one"
        )
    backend = open_backend(backend_name, seed=seed)
    if backend.kind in {"noiseless", "sampled"}:
        raise UserError(f"--backend {backend_name}: has no noise to mitigate; name a noisy one, such as fake_torino")
    if split == "train":
        raise UserError("--split train: the learned correction is fitted there; validation or test")
    program = circuit_of(run)
    qubits = program.circuit.num_qubits
    if qubits > MAX_QUBITS:
        raise UserError(f"{run.folder}: its circuit has {qubits} qubits; mitigation is computed for up to {MAX_QUBITS}")
    selection, training = choose_images(run, split, limit, stratified), _draw(run, training_images)
    for chosen in (selection, training):
        locate(run, chosen)
    key = {
        "backend": backend.name,
        "split": split,
        "samples": selection.ids,
        "training": training.ids,
        "weights": weights_digest(run),
        "seed": seed,
    }
    if "@" in backend.name:  # another calibration is another study
        key["calibrated"] = getattr(backend, "calibrated", None)
    folder = run.folder / "mitigation" / folder_name(backend.name, key_of(key))
    seed_of_shots = seed if parsed.seed is None else parsed.seed
    return Mitigation(run, backend, program, selection, training, folder, seed_of_shots)


def mitigate(plan: Mitigation, *, progress: Progress) -> Path:
    """Run it, write mitigation.csv and record.json, and return their folder; a finished one is returned as it is.

    Exact values are kept in ``circuits/`` as they come: the same command continues after it was killed. Raises
    :class:`backends.errors.BackendError` where the circuit cannot be folded or the noise cannot be scaled.
    """
    if plan.finished:
        return plan.folder
    check_folder(plan.folder)
    started = time.perf_counter()
    run, shots, seed = plan.run, plan.backend.shots, plan.run.experiment().seed
    compiled = plan.backend.compile(plan.program)
    assert isinstance(compiled, SimulatedCircuit)
    if compiled.noise is None:
        raise UserError(f"--backend {plan.backend.name}: scale = 0 leaves no noise to mitigate")
    features, angles, weights = compute_angles(run, plan.selection, progress)
    _, training_angles, _ = compute_angles(run, plan.training, progress)
    evaluated, training = (noiseless_values(plan.program, u, weights) for u in (angles, training_angles))
    methods = methods_for(shots)
    device = SimulatedDevice(
        compiled,
        weights,
        angles,
        training_angles,
        [version for method in methods for version in method.versions],
        shots=shots,
        kept=partial(_kept, plan.folder / "circuits"),
        progress=partial(progress, f"circuits on {plan.backend.name}"),
    )
    decide = decision(run, features)
    repetitions = 1 if shots is None else REPETITIONS
    outcomes = repeat(
        device,
        methods,
        (evaluated, training),
        decide,
        repetitions=repetitions,
        seed=plan.seed_of_shots,
        progress=partial(progress, "experiments"),
    )
    without_noise = decide(evaluated)
    table = table_of(
        outcomes,
        without_noise,
        plan.selection,
        training_images=len(plan.training.ids),
        seed=seed,
        progress=partial(progress, "intervals"),
    )
    record = _record(plan, compiled, device) | {
        "repetitions": repetitions,
        "noiseless": {"auc": objective_of(plan.selection.task).auc(_truth(plan.selection), without_noise)},
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
    drawn = np.sort(np.random.default_rng([run.experiment().seed, 4]).permutation(len(rows))[:count])
    about = f"{len(drawn)} of {len(rows)}"
    return Selection("train", about, rows.iloc[drawn].reset_index(drop=True), run.task(), run.classes())


def _truth(selection: Selection) -> NDArray[np.int64]:
    return task_named(selection.task).truth(selection.rows)


def _kept(folder: Path, name: str, compute: Callable[[], FloatArray]) -> FloatArray:
    path = folder / f"{name}.npy"
    if not path.is_file():
        values = compute()
        with atomic_write(path) as unfinished:
            np.save(unfinished, values)
    return np.asarray(np.load(path), dtype=np.float64)


def _record(plan: Mitigation, compiled: SimulatedCircuit, device: SimulatedDevice) -> dict[str, Any]:
    """What ran, JSON-ready."""
    circuit = ("depth", "two_qubit_gates")
    about = ("device", "calibrated", "calibration_read", "layout", "seed_transpiler", "scale", "source")
    return {
        "backend": plan.backend.name,
        "kind": plan.backend.kind,
        "simulated": True,
        **{name: compiled.record[name] for name in about if name in compiled.record},
        "shots": plan.backend.shots,
        "task": plan.selection.task,
        "split": plan.selection.split,
        "samples": len(plan.selection.ids),
        "selection": plan.selection.about,
        "training_images": len(plan.training.ids),
        "training_ids": plan.training.ids,
        "calibration_circuits": CALIBRATION_CIRCUITS,
        "noise_factors": {
            str(factor): {name: folded.record[name] for name in circuit}
            for factor, folded in sorted(device.circuits.items())
        },
        "versions": dict(versions()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
