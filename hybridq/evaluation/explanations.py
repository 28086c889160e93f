"""Where a model looks: Grad-CAM (arXiv:1610.02391) of its most confident mistakes and of a few right decisions."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from hybridq.data.images.images import Images
from hybridq.data.images.transforms import to_float
from hybridq.files import write_json
from hybridq.models import Classifier
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import Task
from hybridq.typing import FloatArray, IntArray

MISTAKES: Final = 8
RIGHT: Final = 4
SIDE: Final = 192
"""Pixels of each of the two panels of a picture."""
SMALLEST_MAP: Final = 4
"""The last block whose maps have this side at least is explained: a smaller map shows no place."""


@dataclass(frozen=True)
class Explained:
    """A decision to explain: of the image in ``row``, about the class or label ``target``."""

    row: int
    target: int
    true: str
    decided: str
    confidence: float
    """Probability of the decision."""

    @property
    def right(self) -> bool:
        return self.true == self.decided

    @property
    def kind(self) -> Hashable:
        return self.target, self.true, self.decided


def save_explanations(
    folder: Path, model: Classifier, images: Images, ids: Sequence[str], scored: Scored, task: Task
) -> None:
    """explanations/ with a picture of each chosen decision and explanations.json; nothing where no block has maps.

    ``images``, ``ids`` and ``scored`` are of the same N images. The gradient passes the exact noiseless circuit.
    A picture shows the image, and the same image under the map: bright where the last convolutions speak for what was
    decided. explanations.json names for each the file, the image, what is true, what was decided, and a description.
    """
    subjects = choose(scored, task)
    inputs = to_float(images[[subject.row for subject in subjects]])
    found = grad_cam(model, inputs, [subject.target for subject in subjects])
    if found is None:
        return
    block, heat, map_side = found
    target = folder / "explanations"
    target.mkdir()
    described = []
    for number, (subject, image, warm) in enumerate(zip(subjects, inputs.numpy(), heat, strict=True)):
        name = f"{number:02d}.png"
        picture(image, warm).save(target / name)
        id_ = ids[subject.row]
        described.append(
            {
                "file": name,
                "id": id_,
                "true": subject.true,
                "decided": subject.decided,
                "probability": subject.confidence,
                "right": subject.right,
                "alt": f"Image {id_}, truly {subject.true}, decided {subject.decided} with probability "
                f"{subject.confidence:.2f}; {_strongest(warm)}.",
            }
        )
    about = {"method": "Grad-CAM", "block": block, "map_side": map_side, "images": described}
    write_json(target / "explanations.json", about)


def choose(scored: Scored, task: Task) -> list[Explained]:
    """Up to ``MISTAKES`` wrong decisions and ``RIGHT`` right ones: the most confident of each kind first, then the
    second of each kind, and so on. A kind is what is true and what was decided. Of images that may have several labels,
    each label is a decision, and right ones are of labels that were found."""
    decided = task.decide(scored.probabilities)
    subjects = _of_labels if scored.truth.ndim == 2 else _of_classes
    found = list(subjects(scored.truth, decided, scored.probabilities, scored.classes))
    wrong, right = ([s for s in found if s.right is kind] for kind in (False, True))
    return [*_spread(wrong, MISTAKES), *_spread(right, RIGHT)]


def grad_cam(model: Classifier, inputs: Tensor, targets: Sequence[int]) -> tuple[str, NDArray[np.float32], int] | None:
    """Of each image (N, C, H, W) for its target class: the block's name, maps (N, H, W) ≥ 0, and their own side.

    None where no block of the backbone gives maps of more than one pixel.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # of its bars, in a notebook without widgets
        from captum.attr import LayerAttribution, LayerGradCam

    block = _block(model, inputs)
    if block is None:
        return None
    number, layer, side = block
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Hh]ooks.*")
        maps = LayerGradCam(model, layer).attribute(inputs, target=list(targets), relu_attributions=True)
    size = tuple(inputs.shape[-2:])
    smooth = LayerAttribution.interpolate(maps.detach(), size, interpolate_mode="bilinear").clamp_min(0)
    return f"backbone.blocks.{number}", smooth[:, 0].float().numpy(), side


def picture(image: NDArray[np.float32], heat: NDArray[np.float32]) -> Image.Image:
    """The image (C, H, W) in [0, 1], and beside it the same under ``heat`` (H, W), each map scaled to its maximum."""
    from matplotlib import colormaps

    grey = np.broadcast_to(image, (3, *image.shape[1:])) if len(image) == 1 else image
    plain = grey.transpose(1, 2, 0)
    share = heat / heat.max() if heat.max() > 0 else heat
    opacity = 0.65 * share[..., None]
    over = plain * (1 - opacity) + colormaps["inferno"](0.25 + 0.75 * share)[..., :3] * opacity
    panels = [
        Image.fromarray(np.rint(255 * part).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        for part in (plain, over)
    ]
    joined = Image.new("RGB", (2 * SIDE + 4, SIDE), "white")
    joined.paste(panels[0], (0, 0))
    joined.paste(panels[1], (SIDE + 4, 0))
    return joined


def _block(model: Classifier, inputs: Tensor) -> tuple[int, nn.Module, int] | None:
    """Number, module and map side of the last block with maps that are large enough, else of the last with any."""
    sides = []
    with torch.inference_mode():
        maps = (inputs[:1] - model.mean) / model.std
        for block in model.backbone.blocks:
            maps = block(maps)
            sides.append(min(maps.shape[-2:]) if maps.ndim == 4 else 0)
    for smallest in (SMALLEST_MAP, 2):
        for number in reversed(range(len(sides))):
            if sides[number] >= smallest:
                return number, model.backbone.blocks[number], sides[number]
    return None


def _of_classes(
    truth: IntArray, decided: IntArray, probabilities: FloatArray, classes: Sequence[str]
) -> Iterable[Explained]:
    for row, (true, found) in enumerate(zip(truth.tolist(), decided.tolist(), strict=True)):
        yield Explained(row, found, classes[true], classes[found], float(probabilities[row, found]))


def _of_labels(
    truth: IntArray, decided: IntArray, probabilities: FloatArray, classes: Sequence[str]
) -> Iterable[Explained]:
    for row, label in np.argwhere((truth != decided) | (truth & decided == 1)).tolist():
        name, probability = classes[label], float(probabilities[row, label])
        names = (f"without {name}", f"with {name}")
        found = int(decided[row, label])
        confidence = probability if found else 1 - probability
        yield Explained(row, label, names[int(truth[row, label])], names[found], confidence)


def _spread(found: Sequence[Explained], most: int) -> list[Explained]:
    seen: Counter[Hashable] = Counter()
    ranked = []
    for subject in sorted(found, key=lambda s: (-s.confidence, s.row)):
        ranked.append((seen[subject.kind], subject))
        seen[subject.kind] += 1
    return [subject for _, subject in sorted(ranked, key=lambda pair: pair[0])][:most]


def _strongest(heat: NDArray[np.float32]) -> str:
    """Where the map is strongest, in words."""
    if not heat.max() > 0:
        return "nothing in the map speaks for it"
    place = np.unravel_index(heat.argmax(), heat.shape)
    row, column = (int(3 * at / side) for at, side in zip(place, heat.shape, strict=True))
    where = f"{('top', 'middle', 'bottom')[row]} {('left', 'centre', 'right')[column]}"
    return f"the map is strongest at the {where}"
