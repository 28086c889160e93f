"""The learned correction on evaluations that are on disk: on hardware, where every circuit was paid for already.

An evaluation of training images, a few dozen of them, is what it costs; that of the images to be corrected is there.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from hybridq.errors import UserError
from hybridq.evaluation.inference import Inference
from hybridq.files import atomic_write, write_json
from hybridq.results.evaluation import Evaluation, read_evaluations
from hybridq.results.selection import ImageChoice, Selection
from hybridq.run_folder import RunFolder, key_of
from hybridq.studies.mitigation.learned import fit_correction
from hybridq.studies.mitigation.methods import NONE, Method
from hybridq.studies.mitigation.outcome import Errors, Outcome
from hybridq.studies.mitigation.tables import RECORD, TABLE, table_of
from hybridq.typing import FloatArray, Progress

LEARNED = Method(learned=True)


def mitigate_saved(run: RunFolder, backend: str, *, split: str, progress: Progress) -> Path:
    """Correct the evaluation of ``split`` by what is learned from that of training images, both of ``backend``.

    ``backend`` is the name in the results, written out. Writes the same files as
    :func:`hybridq.studies.mitigation.run.mitigate`, with two methods. There is one experiment: its scatter is
    taken from the standard errors, that of the corrected values as if the correction were certain.

    Raises :class:`UserError` naming the evaluation that is missing, and for the training split.
    """
    started = time.perf_counter()
    if split == "train":
        raise UserError("--split train: the learned correction is fitted there; validation or test")
    evaluations = [
        e for e in read_evaluations(run.folder) if (e.backend, e.source, e.intervention) == (backend, None, None)
    ]
    evaluated, training = _of(run, evaluations, backend, split), _of(run, evaluations, backend, "train", " --limit 32")
    key = key_of({"evaluated": evaluated.folder.name, "training": training.folder.name})
    folder = run.result_folder("mitigation", backend, key)
    if (folder / TABLE).is_file():
        return folder
    selection = _selection(run, evaluated)
    inference = Inference(selection, progress)
    noiseless = inference.exact_values_of(evaluated.angles)
    correct = fit_correction(training.values, inference.exact_values_of(training.angles))
    given: dict[Method, FloatArray] = {NONE: evaluated.values, LEARNED: correct(evaluated.values)}
    outcomes = {}
    for method, values in given.items():
        outcomes[method] = Outcome(Errors(noiseless), [inference.probabilities(values)])
        outcomes[method].errors.add(values)
    without_noise = inference.probabilities(noiseless)
    table = table_of(
        outcomes,
        without_noise,
        selection,
        training_images=len(training.ids),
        progress=lambda done, total: progress("intervals", done, total),
    )
    qubits = evaluated.values.shape[1]
    slope = correct(np.eye(qubits)) - correct(np.zeros((1, qubits)))
    variances = evaluated.standard_errors**2
    _split_errors(table, [variances.mean(), (variances @ slope**2).mean()])
    record = {
        "backend": backend,
        "kind": evaluated.kind,
        "simulated": evaluated.record["simulated"],
        "shots": evaluated.record.get("shots"),
        "repetitions": 1,
        "task": run.task,
        "split": split,
        "samples": len(selection.ids),
        "selection": selection.described,
        "training_images": len(training.ids),
        "training_ids": list(training.ids),
        "evaluations": [evaluated.folder.name, training.folder.name],
        "noiseless": {"auc": inference.objective.auc(evaluated.labels, without_noise)},
        "seconds": round(time.perf_counter() - started, 2),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / RECORD, record)
    with atomic_write(folder / TABLE) as partial:
        table.to_csv(partial, index=False)
    return folder


def _of(run: RunFolder, evaluations: list[Evaluation], backend: str, split: str, advice: str = "") -> Evaluation:
    """The evaluation of a split; of several the one with most images."""
    found = [evaluation for evaluation in evaluations if evaluation.record["split"] == split]
    if not found:
        raise UserError(
            f"{run.folder}: no evaluation of {backend} on {split} images is finished; "
            f"hybridq evaluate {run.folder} --backend {backend} --split {split}{advice}"
        )
    return max(found, key=lambda evaluation: len(evaluation.ids))


def _selection(run: RunFolder, evaluation: Evaluation) -> Selection:
    rows = run.read_splits().set_index("id", drop=False).loc[list(evaluation.ids)].reset_index(drop=True)
    record = evaluation.record
    return Selection(run, ImageChoice(record["split"]), record["selection"], rows)


def _split_errors(table: pd.DataFrame, variances: list[float]) -> None:
    """Into scatter, of these mean variances, and bias, the rest."""
    table["sd"] = np.sqrt(variances)
    table["bias_rms"] = np.sqrt(np.maximum(table["rms"] ** 2 - variances, 0.0))
