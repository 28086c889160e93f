"""Each known failure is named from the history, with a setting to try, and a healthy training is left alone."""

from __future__ import annotations

import pytest

from hybridq.training.signatures import finetuning_signatures, pretraining_signatures

HEALTHY = {
    "loss": 0.5,
    "validation_auc": 0.9,
    "predicted_classes": 2.0,
    "circuit_gradient_norm": 0.01,
    "quantum_share": 0.2,
}


def history(epochs: int = 4, **changed: float) -> list[dict[str, float]]:
    return [{**HEALTHY, **changed, "epoch": float(epoch)} for epoch in range(epochs)]


def test_a_healthy_training_has_no_signature() -> None:
    assert finetuning_signatures(history()) == []
    assert pretraining_signatures([{"epoch": 0.0, "loss": 4.0, "embedding_spread": 0.98}]) == []


@pytest.mark.parametrize(
    ("changed", "signature", "setting"),
    [
        ({"validation_auc": 0.52}, "AUC at chance", "train.unfreeze"),
        ({"predicted_classes": 1.0}, "one class only", "train.class_weights=true"),
        ({"circuit_gradient_norm": 1e-9}, "vanishing circuit gradient", "model.qubits"),
        ({"quantum_share": 0.001}, "quantum branch unused", "effectively classical"),
    ],
)
def test_a_failure_that_lasts_is_named_with_what_to_try(
    changed: dict[str, float], signature: str, setting: str
) -> None:
    (found,) = finetuning_signatures(history(**changed))
    assert (found.signature, found.epoch) == (signature, 3)
    assert setting in found.sentence
    recovered = [*history(4, **changed), *history(5)[4:]]
    assert finetuning_signatures(recovered) == []


def test_a_loss_that_grows_again_is_diverging() -> None:
    losses = [0.7, 0.5, 0.4, 0.9]
    rows = [{**HEALTHY, "epoch": float(epoch), "loss": loss} for epoch, loss in enumerate(losses)]
    (found,) = finetuning_signatures(rows)
    assert found.signature == "diverging loss"
    assert "train.learning_rate" in found.sentence


def test_equal_embeddings_have_collapsed() -> None:
    (found,) = pretraining_signatures([{"epoch": 0.0, "loss": 5.5, "embedding_spread": 0.02}])
    assert found.signature == "collapsed embeddings"
    assert "pretrain.temperature" in found.sentence


def test_controls_without_a_trained_circuit_are_not_blamed_for_it() -> None:
    frozen = [{key: value for key, value in row.items() if key != "circuit_gradient_norm"} for row in history()]
    assert finetuning_signatures(frozen) == []
    assert finetuning_signatures(history(alpha=0, quantum_share=0, circuit_gradient_norm=0)) == []
