"""Both stages of a run, from the configuration to the weights; a killed training continues where it was."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from safetensors.torch import load_file, save_file

from hybridq.config import Experiment
from hybridq.data.manifest import SPLITS
from hybridq.files import whole, write_json, write_text
from hybridq.models import Classifier
from hybridq.models.objective import Objective, objective_of
from hybridq.models.saved import circuit_spec, has_circuit, new_model
from hybridq.quantum.circuits import dead_weights, describe, draw, to_qasm3
from hybridq.quantum.layer import QuantumLayer
from hybridq.runs import Run, cores, create_run, write_environment
from hybridq.training.batches import Batches
from hybridq.training.callbacks import (
    ContinuedEarlyStopping,
    History,
    StageProgress,
    WholeCheckpoints,
    best_and_last,
)
from hybridq.training.finetune import FineTune
from hybridq.training.prepare import Prepared, Progress, prepare, write_data
from hybridq.training.randomness import derived_seed
from hybridq.training.signatures import finetuning_signatures, pretraining_signatures
from hybridq.training.simclr import SimCLR

Announce = Callable[[str], None]


def train(
    experiment: Experiment, root: Path, *, announce: Announce, progress: Progress, allow_leaks: bool = False
) -> Run:
    """Train ``experiment`` into its run folder under ``root`` and return the finished run.

    The result depends on the configuration and the number of threads alone, however often the process was killed.
    Raises :class:`UserError` for mistakes in configuration or data, among them splits that leak unless ``allow_leaks``,
    before the run folder is made, and when the loss is not finite.
    """
    threads = experiment.train.threads or cores()
    torch.set_num_threads(threads)
    done = Run(root / experiment.name)
    if done.config.exists() and create_run(root, experiment).finished:
        announce(f"{done.folder} is finished already")
        return done
    prepared = prepare(experiment, progress, allow_leaks=allow_leaks)
    objective = objective_of(str(prepared.manifest.task))
    objective.check(prepared.validation_labels, "validation")
    model = new_model(experiment, len(prepared.manifest.classes))
    run = create_run(root, experiment)
    write_environment(run, experiment.seed, threads)
    write_data(run, prepared)
    _describe_data(prepared, announce)
    _write_model_card(run, model, prepared, announce)
    model.mean.fill_(prepared.mean)
    model.std.fill_(prepared.std)
    _pretrain(run, experiment, model, prepared, announce, progress)
    _finetune(run, experiment, model, objective, prepared, announce, progress)
    return run


def _pretrain(
    run: Run, experiment: Experiment, model: Classifier, prepared: Prepared, announce: Announce, progress: Progress
) -> None:
    settings = experiment.pretrain
    if settings.encoder is not None:
        model.backbone.load_state_dict(load_file(Run(Path(settings.encoder)).encoder))
        return
    if settings.epochs == 0:
        return
    if run.encoder.exists():
        model.backbone.load_state_dict(load_file(run.encoder))
        return
    torch.manual_seed(derived_seed(experiment.seed, "projection head"))
    batches = Batches(
        prepared.unlabelled, settings.batch_size, settings.augmentation, seed=experiment.seed, stage="pretrain"
    )
    module = SimCLR(model.backbone, settings, batches, prepared.mean, prepared.std)
    history = History(run.history, "pretrain", pretraining_signatures, announce)
    folder = run.checkpoints / "pretrain"
    bar = StageProgress("pretraining", len(batches), settings.epochs, progress)
    _fit(module, folder, settings.epochs, [history, bar, best_and_last(folder)])
    with whole(run.encoder) as partial:
        save_file(_plain(model.backbone.state_dict()), partial)


def _finetune(
    run: Run,
    experiment: Experiment,
    model: Classifier,
    objective: Objective,
    prepared: Prepared,
    announce: Announce,
    progress: Progress,
) -> None:
    settings = experiment.train
    batches = Batches(
        prepared.training, settings.batch_size, settings.augmentation, seed=experiment.seed, stage="finetune"
    )
    module = FineTune(
        model,
        settings,
        experiment.model,
        objective,
        batches,
        prepared.training_labels,
        prepared.validation,
        prepared.validation_labels,
    )
    folder = run.checkpoints / "finetune"
    if not (folder / "last.ckpt").exists():
        module.calibrate()
    history = History(run.history, "finetune", finetuning_signatures, announce)
    stopping = ContinuedEarlyStopping(settings.patience)
    bar = StageProgress("fine-tuning", len(batches), settings.epochs, progress)
    _fit(module, folder, settings.epochs, [history, bar, stopping, best_and_last(folder, "validation_auc")])
    best = torch.load(folder / "best.ckpt", weights_only=True, map_location="cpu")
    module.load_state_dict(best["state_dict"])
    with whole(run.weights) as partial:
        save_file(_plain(model.state_dict()), partial)
    rows = history.rows
    write_json(
        run.folder / "training.json",
        {
            "seconds": _seconds(run),
            "best_epoch": int(best["epoch"]),
            "best_validation_auc": max(row["validation_auc"] for row in rows),
            "epochs": len(rows),
            "stopped": "complete" if len(rows) == settings.epochs else "early",
        },
    )


def _fit(module: LightningModule, folder: Path, epochs: int, callbacks: list[Callback]) -> None:
    last = folder / "last.ckpt"
    with warnings.catch_warnings():
        # Batches are made in the training step, on purpose: there is no loader whose workers could be raised.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*|.*Checkpoint directory.*exists.*")
        warnings.filterwarnings("ignore", category=FutureWarning)
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its advertisements
        trainer = Trainer(
            max_epochs=epochs,
            callbacks=callbacks,
            plugins=[WholeCheckpoints()],
            accelerator="auto",
            devices=1,
            logger=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            trainer.fit(module, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt("the same command continues after the last finished epoch") from None
    module.cpu()


def _write_model_card(run: Run, model: Classifier, prepared: Prepared, announce: Announce) -> None:
    parts = model.part_sizes()
    total = sum(parts.values())
    classes = list(prepared.manifest.classes)
    write_json(run.folder / "model.json", {"parameters": total, "parameters_by_part": parts, "classes": classes})
    sizes = f"{total:,} parameters ({', '.join(f'{name} {size:,}' for name, size in parts.items())})"
    if not has_circuit(run.experiment().model):
        announce(f"{sizes}; no circuit")
        return
    circuit = _write_circuit(run, model)
    gates = f"{circuit['two_qubit_gates']} two-qubit gates"
    announce(f"{sizes}; circuit: {circuit['qubits']} qubits, depth {circuit['depth']}, {gates}")
    if circuit["trained_on"]["note"]:
        announce(f"note: {circuit['trained_on']['note']}")


def _write_circuit(run: Run, model: Classifier) -> dict[str, Any]:
    settings, train = run.experiment().model, run.experiment().train
    program = circuit_spec(settings).build()
    circuit = describe(program) | {"layers": settings.layers, "dead_weights": dead_weights(program)}
    circuit["gate_counts"] = circuit.pop("gates")
    assert isinstance(model.circuit, QuantumLayer)
    circuit["trained_on"] = {"backend": train.backend, "engine": train.engine, "note": model.circuit.note}
    write_json(run.folder / "circuit.json", circuit)
    write_text(run.folder / "circuit.qasm", to_qasm3(program))
    draw(program, run.folder / "circuit.png")
    return circuit


def _describe_data(prepared: Prepared, announce: Announce) -> None:
    manifest = prepared.manifest
    counts = manifest.table["split"].value_counts()
    announce(f"{manifest.source}: {', '.join(f'{counts[split]:,} {split}' for split in SPLITS)} images")
    for note in prepared.notes:
        announce(f"  {note}")
    for leak in prepared.leaks:
        announce(f"  leak: {leak}")


def _plain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors in the memory layout that safetensors stores."""
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _seconds(run: Run) -> dict[str, float]:
    history = pd.read_csv(run.history)
    return {str(stage): float(rows["seconds"].sum()) for stage, rows in history.groupby("stage")}
