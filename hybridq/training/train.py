"""Both stages of a run, from the configuration to the weights; a killed training continues where it was."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from safetensors.torch import load_file, save_file

from hybridq.config import UNCHANGED, Experiment
from hybridq.data.images.intensity import Intensity
from hybridq.data.manifest import SPLITS
from hybridq.data.sources import path_of
from hybridq.errors import UserError
from hybridq.files import atomic_write, check_folder, write_json, write_text
from hybridq.models import Classifier
from hybridq.models.build import circuit_spec, has_circuit, load_weights, new_model
from hybridq.models.cost import multiply_adds
from hybridq.models.features import frozen_features, measure_batch_statistics
from hybridq.models.objectives import Objective, objective_of
from hybridq.quantum.circuits import dead_weights, describe, draw, to_qasm3
from hybridq.quantum.layer import QuantumLayer
from hybridq.run_folder import RunFolder, cores, create_run, write_environment
from hybridq.training.batches import Batches
from hybridq.training.callbacks import (
    ContinuedEarlyStopping,
    History,
    StageProgress,
    WholeCheckpoints,
    best_and_last,
)
from hybridq.training.cost import Cost
from hybridq.training.finetune import FineTune, FrozenFeatures
from hybridq.training.loggers import Loggers, check_logger, loggers_of
from hybridq.training.prepare import Prepared, check_begun, prepare, write_data
from hybridq.training.randomness import derived_seed
from hybridq.training.signatures import finetuning_signatures, pretraining_signatures
from hybridq.training.simclr import SimCLR
from hybridq.typing import Announce, Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Watch:
    """Those who are told how a training goes."""

    announce: Announce
    warn: Announce
    progress: Progress
    logger: Loggers


def train(
    experiment: Experiment,
    root: Path,
    *,
    announce: Announce,
    progress: Progress,
    warn: Announce | None = None,
    allow_leaks: bool = False,
    logger: Loggers = None,
) -> RunFolder:
    """Train ``experiment`` into its run folder under ``root`` and return the finished run.

    ``warn`` is told what limits the result, each once: leaks, failure signatures, what a backend leaves out; None:
    ``announce`` is. ``logger`` is one of Lightning's, or several, beside the one that ``train.logger`` names.

    The result depends on the configuration and the number of threads alone, however often the process was killed.
    Raises :class:`UserError` for mistakes in configuration or data, among them splits that leak unless ``allow_leaks``,
    and for a folder that cannot be written, before the run folder is made, and when the loss is not finite.
    """
    warn = warn or announce
    check_logger(experiment.train.logger)
    threads = experiment.train.threads or cores()
    torch.set_num_threads(threads)
    done = RunFolder(root / experiment.name)
    if done.config.exists() and create_run(root, experiment).finished:
        announce(f"{done.folder} is finished already")
        return done
    check_folder(done.folder)
    _check_directory(done, experiment)
    begun = (done.folder / "data.json").is_file()
    prepared = prepare(
        experiment,
        progress,
        allow_leaks=allow_leaks,
        classes=done.classes if begun else None,
        intensity=Intensity.of_card(done.data_card) if begun else None,
    )
    if begun:
        check_begun(done, prepared.manifest)
    objective = objective_of(str(prepared.manifest.task))
    objective.check(prepared.validation_labels, "validation")
    model = new_model(experiment, len(prepared.manifest.classes))
    if experiment.train.start is not None:
        load_weights(model, RunFolder(Path(experiment.train.start)))  # the intensity statistics too
    run = create_run(root, experiment)
    write_environment(run, experiment.seed, threads)
    write_data(run, prepared)
    _describe_data(prepared, announce, warn)
    _write_model_card(run, model, prepared, announce, warn)
    watch = _Watch(announce, warn, progress, logger)
    if experiment.train.start is None:
        model.mean.fill_(prepared.mean)
        model.std.fill_(prepared.std)
        _pretrain(run, experiment, model, prepared, watch)
    _finetune(run, experiment, model, objective, prepared, watch)
    return run


def _check_directory(run: RunFolder, experiment: Experiment) -> None:
    """Refuse to continue a training where relative paths of its data lead elsewhere than when it was begun."""
    begun = run.directory if run.config.exists() else None
    paths = [path for path in (path_of(experiment.data.source), experiment.data.splits) if path is not None]
    relative = [path for path in paths if not Path(path).expanduser().is_absolute()]
    if begun is not None and begun != Path.cwd() and any((begun / path).exists() for path in relative):
        raise UserError(f"{run.folder}: was begun in {begun}, where the path {relative[0]} begins; continue it there")


def _pretrain(
    run: RunFolder,
    experiment: Experiment,
    model: Classifier,
    prepared: Prepared,
    watch: _Watch,
) -> None:
    settings = experiment.pretrain
    if settings.encoder is not None:
        model.backbone.load_state_dict(load_file(RunFolder(Path(settings.encoder)).encoder))
        return
    if settings.epochs == 0:
        if not experiment.model.imagenet:
            _fit_statistics(experiment, model, prepared, watch.progress)
        return
    if run.encoder.exists():
        model.backbone.load_state_dict(load_file(run.encoder))
        return
    torch.manual_seed(derived_seed(experiment.seed, "projection head"))
    batches = Batches(
        prepared.unlabelled, settings.batch_size, settings.augmentation, seed=experiment.seed, stage="pretrain"
    )
    module = SimCLR(model.backbone, settings, batches, prepared.mean, prepared.std)
    history = History(run.history, "pretrain", pretraining_signatures, watch.announce, watch.warn)
    folder = run.checkpoints / "pretrain"
    bar = StageProgress("pretraining", len(batches), settings.epochs, watch.progress)
    loggers = loggers_of(experiment.train.logger, run, "pretrain", watch.logger)
    _fit(module, folder, settings.epochs, [history, bar, best_and_last(folder)], loggers)
    _fit_statistics(experiment, model, prepared, watch.progress)
    with atomic_write(run.encoder) as unfinished:
        save_file(_plain(model.backbone.state_dict()), unfinished)


def _fit_statistics(experiment: Experiment, model: Classifier, prepared: Prepared, progress: Progress) -> None:
    """Batch statistics of a backbone that stage 2 will not train, and whose own are not settled."""
    if experiment.train.frozen:
        torch.manual_seed(derived_seed(experiment.seed, "batch statistics"))  # some backbones drop paths at random
        measure_batch_statistics(
            model, prepared.every_training, progress=partial(progress, "measuring batch statistics")
        )


def _finetune(
    run: RunFolder,
    experiment: Experiment,
    model: Classifier,
    objective: Objective,
    prepared: Prepared,
    watch: _Watch,
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
        _frozen_features(experiment, model, prepared, watch),
    )
    folder = run.checkpoints / "finetune"
    if settings.start is None and not (folder / "last.ckpt").exists():
        module.calibrate()
    history = History(run.history, "finetune", finetuning_signatures, watch.announce, watch.warn)
    stopping = ContinuedEarlyStopping(settings.patience, settings.monitor)
    bar = StageProgress("fine-tuning", len(batches), settings.epochs, watch.progress)
    cost = Cost(model.circuit if has_circuit(experiment.model) else None)
    callbacks = [history, bar, stopping, cost, best_and_last(folder, settings.monitor)]
    _fit(module, folder, settings.epochs, callbacks, loggers_of(settings.logger, run, "finetune", watch.logger))
    best = torch.load(folder / "best.ckpt", weights_only=True, map_location="cpu")
    module.load_state_dict(best["state_dict"])
    with atomic_write(run.weights) as unfinished:
        save_file(_plain(model.state_dict()), unfinished)
    rows, seconds, best_epoch = history.rows, _seconds_per_epoch(run), int(best["epoch"])
    watch.announce(_cost_line(seconds["finetune"], cost))
    write_json(
        run.folder / "training.json",
        {
            "seconds": _seconds(run),
            "seconds_per_epoch": seconds,
            **cost.as_dict(),
            "best_epoch": best_epoch,
            "best_validation_auc": next(row["validation_auc"] for row in rows if row["epoch"] == best_epoch),
            "epochs": len(rows),
            "stopped": "complete" if len(rows) == settings.epochs else "early",
        },
    )


def _frozen_features(
    experiment: Experiment, model: Classifier, prepared: Prepared, watch: _Watch
) -> FrozenFeatures | None:
    """Features of training and validation images where nothing changes them; None where something does."""
    settings = experiment.train
    if not settings.frozen:
        return None
    if settings.augmentation != UNCHANGED:
        watch.announce(
            "the frozen backbone sees other views in every epoch: features are kept with train.augmentation=none"
        )
        return None
    training, validation = (
        frozen_features(
            model, experiment.model.backbone, images, progress=partial(watch.progress, f"features of {what}")
        )
        for images, what in (
            (prepared.every_training, "training images"),
            (prepared.validation, "validation images"),
        )
    )
    some = len(prepared.labelled) < len(training)
    return FrozenFeatures(training[prepared.labelled] if some else training, validation)


def _fit(module: LightningModule, folder: Path, epochs: int, callbacks: list[Callback], loggers: list[Logger]) -> None:
    last = folder / "last.ckpt"
    with warnings.catch_warnings():
        # Batches are made in the training step, on purpose: there is no loader whose workers could be raised.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*|.*Checkpoint directory.*exists.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # frozen blocks are, on purpose
        warnings.filterwarnings("ignore", category=FutureWarning)
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its advertisements
        trainer = Trainer(
            max_epochs=epochs,
            callbacks=callbacks,
            plugins=[WholeCheckpoints()],
            accelerator="auto",
            devices=1,
            logger=loggers or False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        logger.debug(
            "%s: %d epochs on %s, %d threads, %s",
            folder,
            epochs,
            trainer.strategy.root_device,
            torch.get_num_threads(),
            f"continued from {last}" if last.exists() else "from the beginning",
        )
        try:
            trainer.fit(module, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt("the same command continues after the last finished epoch") from None
    module.cpu()


def _write_model_card(
    run: RunFolder, model: Classifier, prepared: Prepared, announce: Announce, warn: Announce
) -> None:
    parts = model.part_sizes()
    total = sum(parts.values())
    classes = list(prepared.manifest.classes)
    data = run.experiment.data
    card = {
        "parameters": total,
        "parameters_by_part": parts,
        "multiply_adds": multiply_adds(model, data.channels, data.size),
        "classes": classes,
    }
    write_json(run.folder / "model.json", card)
    sizes = f"{total:,} parameters ({', '.join(f'{name} {size:,}' for name, size in parts.items())})"
    if not has_circuit(run.experiment.model):
        announce(f"{sizes}; no circuit")
        return
    circuit = _write_circuit(run, model)
    gates = f"{circuit['two_qubit_gates']} two-qubit gates"
    announce(f"{sizes}; circuit: {circuit['qubits']} qubits, depth {circuit['depth']}, {gates}")
    if circuit["trained_on"]["note"]:
        warn(f"note: {circuit['trained_on']['note']}")


def _write_circuit(run: RunFolder, model: Classifier) -> dict[str, Any]:
    settings, train = run.experiment.model, run.experiment.train
    program = circuit_spec(settings).build()
    circuit = describe(program) | {"layers": settings.layers, "dead_weights": dead_weights(program)}
    circuit["gate_counts"] = circuit.pop("gates")
    assert isinstance(model.circuit, QuantumLayer)
    circuit["trained_on"] = {
        "backend": train.backend,
        "engine": train.engine,
        "noise_scale": train.noise_scale,
        "note": model.circuit.note,
    }
    write_json(run.folder / "circuit.json", circuit)
    write_text(run.folder / "circuit.qasm", to_qasm3(program))
    draw(program, run.folder / "circuit.png")
    return circuit


def _describe_data(prepared: Prepared, announce: Announce, warn: Announce) -> None:
    manifest = prepared.manifest
    counts = manifest.table["split"].value_counts()
    announce(f"{manifest.source}: {', '.join(f'{counts[split]:,} {split}' for split in SPLITS)} images")
    for note in prepared.notes:
        announce(f"  {note}")
    for leak in prepared.leaks:
        warn(f"  leak: {leak}")


def _plain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors in the memory layout that safetensors stores."""
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _seconds(run: RunFolder) -> dict[str, float]:
    history = pd.read_csv(run.history)
    return {str(stage): float(rows["seconds"].sum()) for stage, rows in history.groupby("stage")}


def _seconds_per_epoch(run: RunFolder) -> dict[str, float]:
    """The median of each stage, validation included."""
    history = pd.read_csv(run.history)
    return {str(stage): float(rows["seconds"].median()) for stage, rows in history.groupby("stage")}


def _cost_line(seconds: float, cost: Cost) -> str:
    parts = [f"{seconds:.1f} s an epoch of fine-tuning"]
    if cost.quantum_share is not None:
        parts.append(f"{100 * cost.quantum_share:.1f} % of a step in the quantum layer")
    if (peak := cost.as_dict()["peak_memory_bytes"]) is not None:
        parts.append(f"peak memory {peak / 1e9:.1f} GB")
    return ", ".join(parts)
