"""A noise study of runs: the cells that are not finished are computed, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backends.errors import BackendError
from hybridq.evaluation.inference import Inference
from hybridq.files import check_folder
from hybridq.models.build import has_circuit
from hybridq.results.selection import ImageChoice
from hybridq.run_folder import RunFolder
from hybridq.studies.noise.cells import REFERENCE, Cell, cells_of
from hybridq.studies.noise.config import NoiseStudy
from hybridq.studies.noise.measure import measure, reference_of
from hybridq.studies.noise.store import SavedCell, Store
from hybridq.studies.noise.values import NoisyValues
from hybridq.typing import Progress

CIRCUIT = ("depth", "two_qubit_gates", "layout_score", "calibrated")
"""What a row says of the circuit that ran, as the backend's record has it."""


@dataclass(frozen=True, eq=False)
class StudiedRun:
    """The finished cells of one run."""

    run: RunFolder
    cells: tuple[SavedCell, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """Why, by the name of the cell's backend, or of what holds for the whole run."""


def study_run(run: RunFolder, study: NoiseStudy, *, progress: Progress) -> StudiedRun:
    """Compute what is not finished, the noiseless cell first; all are on disk when this returns.

    A strength that the noise does not have is left out, and so are all cells but the noiseless one of a model without a
    circuit.

    Raises:
        UserError: the run's data are no longer there, the split does not exist, or the circuit has too many qubits.
    """
    check_folder(run.folder / "noise")
    inference = Inference.of(run, ImageChoice(study.split), progress)
    store = Store(inference.selection)
    quantum = has_circuit(run.experiment.model)
    wanted = cells_of(study) if quantum else [REFERENCE]
    left_out = {} if quantum else {"noise": "the model has no circuit; nothing of it runs on a backend"}
    missing = [cell for cell in wanted if not store.has(cell)]
    if missing:
        left_out |= _compute(inference, store, missing)
    return StudiedRun(run, tuple(store.read(cell) for cell in wanted if store.has(cell)), left_out)


def _compute(inference: Inference, store: Store, cells: Sequence[Cell]) -> dict[str, str]:
    threshold = store.read(REFERENCE).row.get("validation_threshold") if store.has(REFERENCE) else None
    reference = reference_of(inference, threshold)
    if not store.has(REFERENCE):
        store.write(REFERENCE, measure(inference, reference, reference.values), {})
    noisy = [cell for cell in cells if cell != REFERENCE]
    if not noisy:
        return {}
    run, progress = inference.run, inference.progress
    values = NoisyValues(inference.program, inference.angles, inference.weights, run.experiment.seed)
    left_out: dict[str, str] = {}
    for done, cell in enumerate(noisy):
        progress(f"{run.folder.name}: noise", done, len(noisy))
        try:
            q, record = values.of(cell)
        except BackendError as error:
            left_out[cell.backend] = str(error)
            continue
        store.write(cell, measure(inference, reference, q), _of_the_circuit(record))
    progress(f"{run.folder.name}: noise", len(noisy), len(noisy))
    return left_out


def _of_the_circuit(record: dict[str, Any]) -> dict[str, Any]:
    row = {name: record.get(name) for name in CIRCUIT}
    return row | {"qubits_of_device": record.get("layout"), "seed_transpiler_used": record.get("seed_transpiler")}
