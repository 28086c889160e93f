"""Stage 2: supervised fine-tuning of encoder, compression, circuit, fusion and head (eq. 8-14)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from hybridq.config import Model, Train
from hybridq.data.images.images import Images
from hybridq.data.images.transforms import to_float
from hybridq.models import Classifier
from hybridq.models.features import Features
from hybridq.models.objectives import Objective
from hybridq.training.batches import Batches
from hybridq.training.callbacks import refuse_infinite
from hybridq.training.schedules import scheduled

VALIDATION_BATCH = 256


@dataclass(frozen=True)
class FrozenFeatures:
    """h of the training and validation images, (N, d), where neither images nor backbone change."""

    training: Features
    validation: Features


class FineTune(LightningModule):
    """Training of a hybrid model, with what a reader needs to judge the quantum branch in every epoch.

    ``labels`` are (N,), or targets (N, K) where an image may have several labels. With ``features``, which the backbone
    gave, no image is read.
    """

    def __init__(
        self,
        model: Classifier,
        settings: Train,
        shape: Model,
        objective: Objective,
        batches: Batches,
        labels: NDArray[np.integer],
        validation_images: Images,
        validation_labels: NDArray[np.integer],
        features: FrozenFeatures | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self._shape = shape
        self._batches = batches
        self._objective = objective
        self._labels = objective.targets(labels)
        self._validation_images = validation_images
        self._validation_labels = validation_labels
        self._features = features
        self._loss = objective.loss(self._labels if settings.class_weights else None)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self._frozen = list(model.backbone.blocks)[: self._number_frozen()]
        for block in self._frozen:
            block.requires_grad_(False)

    def _number_frozen(self) -> int:
        blocks = len(self.model.backbone.blocks)
        match self._settings.unfreeze:
            case "all":
                return 0
            case "none":
                return blocks
            case int(last):
                return max(0, blocks - last)

    def train(self, mode: bool = True) -> FineTune:
        super().train(mode)
        for block in self._frozen:
            block.eval()  # a frozen block keeps its batch statistics too
        return self

    def train_dataloader(self) -> range:
        return range(len(self._batches))

    def val_dataloader(self) -> range:
        return range(-(-len(self._validation_labels) // VALIDATION_BATCH))

    @torch.no_grad()
    def calibrate(self) -> None:
        """Spread the angles of the first batch, as training will see it (see ``Classifier.calibrate_angles``)."""
        self.train()
        state = {name: value.clone() for name, value in self.model.backbone.state_dict().items()}
        h = self._training_features(0, 0)
        self.model.backbone.load_state_dict(state)  # without its trace in the batch statistics
        self.model.calibrate_angles(h, self._shape.angle_spread)

    def training_step(self, batch: int, step: int) -> Tensor:
        epoch = self.current_epoch
        self._batches.seed_step(epoch, step)
        labels = self._labels[self._batches.indices(epoch, step)].to(self.device)
        logits = self.model.logits(self._training_features(epoch, step))
        loss: Tensor = self._loss(logits, labels)
        refuse_infinite(loss, self, "finetune", step, "train.learning_rate")
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def _training_features(self, epoch: int, step: int) -> Tensor:
        """h (B, d) of the images of this step, as training sees them."""
        if self._features is not None:
            indices = self._batches.indices(epoch, step).numpy()
            return torch.from_numpy(self._features.training[indices]).to(self.device)
        return self.model.features(self._batches.view(epoch, step, device=self.device))

    def on_after_backward(self) -> None:
        gradients = [p.grad for p in self.model.circuit.parameters() if p.grad is not None]
        if gradients:
            norm = torch.nn.utils.get_total_norm(gradients)
            self.log("circuit_gradient_norm", norm, on_step=False, on_epoch=True, batch_size=1)

    def validation_step(self, batch: int, step: int) -> None:
        part = slice(step * VALIDATION_BATCH, (step + 1) * VALIDATION_BATCH)
        if self._features is not None:
            h = torch.from_numpy(np.array(self._features.validation[part])).to(self.device)
        else:
            h = self.model.features(to_float(self._validation_images[part]).to(self.device))
        q = self.model.circuit(self.model.angles(h))
        self._seen.append((h.cpu(), q.cpu(), self.model.decide(h, q).cpu()))

    def on_validation_epoch_end(self) -> None:
        h, q, logits = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen.clear()
        labels, decided = self._objective.targets(self._validation_labels), self._objective.decide(logits)
        alpha, share = self.model.quantum_branch(h.to(self.device), q.to(self.device))
        self.log_dict(
            {
                "validation_loss": self._objective.loss()(logits, labels),
                "validation_accuracy": (decided == labels).float().mean(),
                "predicted_classes": float(len(decided.unique(dim=0))),
                "alpha": alpha,
                "quantum_share": share,
            }
        )
        probabilities = self._objective.probabilities(logits).double().numpy()
        auc = self._objective.auc(self._validation_labels, probabilities)
        self.log("validation_auc", torch.tensor(auc, dtype=torch.float64))

    def configure_optimizers(self) -> Any:
        settings = self._settings
        trained = [p for p in self.model.backbone.parameters() if p.requires_grad]
        groups = [
            {"params": list(self._behind_backbone()), "lr": settings.head_learning_rate},
            # α and the circuit's angles have no reason to be small: no decay
            {"params": list(self._undecayed()), "lr": settings.head_learning_rate, "weight_decay": 0.0},
            {"params": trained, "lr": settings.learning_rate},
        ]
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], weight_decay=settings.weight_decay
        )
        return scheduled(settings.schedule, optimizer, settings.epochs * len(self._batches))

    def _behind_backbone(self) -> Iterator[nn.Parameter]:
        undecayed = {id(parameter) for parameter in self._undecayed()}
        for name, parameter in self.model.named_parameters():
            if not name.startswith("backbone.") and id(parameter) not in undecayed:
                yield parameter

    def _undecayed(self) -> Iterator[nn.Parameter]:
        for name, parameter in self.model.named_parameters():
            if name.startswith("circuit.") or name.endswith(".alpha"):
                yield parameter
