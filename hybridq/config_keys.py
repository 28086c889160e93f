"""The keys that configurations had on 2026-11-28. Frozen: a key that came later is not added here.

Runs trained until then, and what was paid for with them, are named by hashes of these keys. A newer key at its default
is left out of every hash and comparison (:meth:`hybridq.config.Section.key_content`): those names stay what they are.
"""

from __future__ import annotations

from typing import Final

FIRST_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "Experiment": ("name", "seed", "data", "pretrain", "model", "train", "hardware"),
    "Data": (
        *("source", "size", "validation_fraction", "test_fraction", "channels", "classes", "label_fraction"),
        *("seed", "splits"),
    ),
    "Augmentation": (
        *("rotation_degrees", "crop_ratio", "translate", "shear_degrees", "scale", "brightness", "contrast"),
        *("gamma", "noise", "blur", "flips"),
    ),
    "Pretrain": (
        *("data", "encoder", "epochs", "batch_size", "learning_rate", "weight_decay", "temperature"),
        *("projection_dim", "augmentation"),
    ),
    "Model": (
        *("name", "backbone", "imagenet", "qubits", "layers", "encoding", "rotations", "entanglement", "entangler"),
        *("reuploading", "superposition", "attention", "branch", "train_circuit", "dropout", "alpha", "train_alpha"),
        *("residual", "normalise_q", "angle_spread"),
    ),
    "Train": (
        *("start", "backend", "noise_scale", "engine", "circuit_precision", "epochs", "batch_size", "learning_rate"),
        *("head_learning_rate", "weight_decay", "unfreeze", "class_weights", "schedule", "augmentation", "patience"),
        "threads",
    ),
    "Hardware": (
        *("shots", "precision", "resilience", "dd", "twirl_gates", "twirl_measure", "mitigation", "copies"),
        *("reference_chunk", "max_quantum_seconds"),
    ),
    "Study": (
        *("name", "base", "set", "models", "main", "data", "label_fractions", "seeds", "backends", "interventions"),
        *("allow_leaks", "split", "threads", "encoder", "tuning", "equivalence_margin"),
    ),
    "Tuning": ("space", "trials"),
    "Choice": ("low", "high", "log", "choices"),
    "NoiseStudy": (
        *("devices", "others", "sources", "scales", "shots", "draws", "layouts", "seeds_transpiler", "split"),
    ),
    "AdsssOptions": ("fold", "path"),
    "DicomOptions": ("path", "labels", "positive"),
    "FolderOptions": ("path", "positive"),
    "MedicalMnistOptions": ("path",),
    "MedmnistOptions": ("name", "size", "path"),
    "PadsdOptions": ("path",),
    "SyntheticOptions": ("patients", "patches", "size", "seed"),
    "TableOptions": ("path", "positive"),
}
"""By the name of the section's class."""
