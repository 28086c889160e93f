"""The typed configuration of one experiment: YAML in, pydantic models out, errors that name file and key."""

from __future__ import annotations

import difflib
import logging
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from hybridq.config_keys import FIRST_KEYS
from hybridq.errors import UserError
from hybridq.yaml_text import parse_settings, parse_yaml, read_settings

logger = logging.getLogger(__name__)

Range = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values are final.

    An empty section or list is the default one. True and false are no numbers (1 and 0 do stand for true and false),
    and numbers are finite. A list may be written without brackets, as in ``1, 2``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, given: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        kinds = _kinds(field.annotation)
        if (
            given is None
            and NoneType not in kinds
            and any(issubclass(kind, (BaseModel, dict, tuple)) for kind in kinds)
        ):
            return {} if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(given, str) and "," in given and tuple in kinds and str not in kinds:
            given = parse_yaml(f"[{given.strip('()[] ')}]", where=str(info.field_name))
        if _holds_truth(given) and not _may_hold_truth(field.annotation):
            raise ValueError("true and false are no numbers and no texts; a text of that name is put in quotes")
        return given

    def key_content(self) -> dict[str, Any]:
        """Return what names results on disk, JSON-ready: everything but newer keys at their defaults.

        Newer is a key that did not exist on 2026-11-28 (``FIRST_KEYS``). Its default is what the section takes when the
        key alone is left out.
        """
        content: dict[str, Any] = _key_content(self, self.model_dump(mode="json"))
        return content

    def _takes_by_itself(self, key: str, dumped: dict[str, Any]) -> bool:
        """Return whether the section has this value of ``key`` when nobody gives it."""
        try:
            without = type(self).model_validate({name: value for name, value in dumped.items() if name != key})
        except ValidationError:
            return False
        return bool(getattr(without, key) == getattr(self, key))


def _kinds(annotation: Any) -> set[type]:
    """The types among which a value may be, a list or section as a whole."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return {annotation}
    parts = get_args(annotation)
    match get_origin(annotation):
        case typing.Annotated:
            return _kinds(parts[0])
        case typing.Literal:
            return {type(value) for value in parts}
        case typing.Union | types.UnionType:
            return set().union(*(_kinds(part) for part in parts))
        case type() as origin:
            return {origin}
    return set()


def _may_hold_truth(annotation: Any) -> bool:
    """Whether true or false may be the value, or be inside it; sections look after themselves."""
    return annotation in (bool, Any) or any(_may_hold_truth(part) for part in get_args(annotation))


def _holds_truth(given: Any) -> bool:
    items = given if isinstance(given, (list, tuple)) else (given,)
    return any(isinstance(item, bool) for item in items)


def _key_content(value: Any, dumped: Any) -> Any:
    """``dumped``, the JSON-ready form of ``value``, without newer keys at their defaults, in every section inside."""
    if isinstance(value, Section):
        first = {key for base in type(value).__mro__ for key in FIRST_KEYS.get(base.__name__, ())}
        kept = [key for key in dumped if key in first or not value._takes_by_itself(key, dumped)]
        return {key: _key_content(getattr(value, key), dumped[key]) for key in kept}
    if isinstance(value, dict):
        return {key: _key_content(inside, dumped[key]) for key, inside in value.items()}
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [_key_content(*pair) for pair in zip(value, dumped, strict=True)]
    return dumped


class Augmentation(Section):
    """The medical augmentation family T of eq. 4: every range from which ξ is drawn, uniformly.

    Colour tricks (jitter of hue, greyscale, solarise) are absent on purpose: intensity carries tissue properties.
    """

    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Angle in [-r, r] degrees."""
    crop_ratio: tuple[Positive, Positive] = (0.7, 1.0)
    """Side of the square crop relative to the image's, in (0, 1]."""
    translate: Fraction = 0.05
    """Shift in [-t, t] of the image's side, both axes (affine)."""
    shear_degrees: Annotated[float, Field(ge=0, le=45)] = 5.0
    """Horizontal shear in [-s, s] degrees (affine)."""
    scale: tuple[Positive, Positive] = (0.95, 1.05)
    """Isotropic zoom (affine)."""
    brightness: Fraction = 0.1
    """Added intensity in [-b, b]; intensities are in [0, 1]."""
    contrast: Fraction = 0.2
    """Factor 1 + c about the image's mean, c in [-contrast, contrast]."""
    gamma: tuple[Positive, Positive] = (0.8, 1.25)
    """Exponent of the intensity."""
    noise: Fraction = 0.02
    """Largest standard deviation of added Gaussian noise."""
    blur: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Largest standard deviation of a Gaussian blur, in pixels."""
    flips: bool = False
    """Horizontal and vertical mirror images, each with probability 1/2: off, since anatomy has a handedness."""

    @model_validator(mode="after")
    def _ordered(self) -> Augmentation:
        for name in ("crop_ratio", "scale", "gamma"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the lower end {low:g} is above the upper end {high:g}")
        if self.crop_ratio[1] > 1:
            raise ValueError(f"crop_ratio: {self.crop_ratio[1]:g} is larger than the image; at most 1")
        return self


UNCHANGED: Final = Augmentation(
    rotation_degrees=0,
    crop_ratio=(1, 1),
    translate=0,
    shear_degrees=0,
    scale=(1, 1),
    brightness=0,
    contrast=0,
    gamma=(1, 1),
    noise=0,
)
"""Every view is the image itself."""

OptionalAugmentation = Annotated[
    Augmentation,
    BeforeValidator(
        lambda given: UNCHANGED if given == "none" else given, json_schema_input_type=Augmentation | Literal["none"]
    ),
]
"""An augmentation family, or ``none``."""


def _ordered_range(given: Range) -> Range:
    low, high = given
    if not 0 <= low <= high or high == 0:
        raise ValueError("expected [low, high] with 0 <= low <= high and high above 0")
    return given


Strengths = Annotated[Range, AfterValidator(_ordered_range)]
"""A range of factors of a noise."""


def _pair(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    keys = {str(key): names for key, names in value.items()} if isinstance(value, dict) else {}
    if set(keys) != {"0", "1"}:
        raise ValueError("expected {0: [..], 1: [..]}, two lists of classes by name or index")
    for label, names in keys.items():
        if not isinstance(names, list) or not names or {type(name) for name in names} - {int, str}:
            hint = "; a name that is true or false is put in quotes" if _holds_truth(names) else ""
            raise ValueError(f"expected under {label} a list of classes by name or index, got {names!r}{hint}")
    return tuple(keys["0"]), tuple(keys["1"])


MergedClasses = Annotated[
    tuple[tuple[int | str, ...], tuple[int | str, ...]],
    BeforeValidator(_pair),
    PlainSerializer(lambda pair: {label: list(names) for label, names in enumerate(pair)}),
    WithJsonSchema(
        {
            "$comment": "{0: [classes], 1: [classes]}",
            "type": "object",
            "properties": {
                label: {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
                for label in ("0", "1")
            },
            "required": ["0", "1"],
            "additionalProperties": False,
        }
    ),
]
"""Written ``{0: [..], 1: [..]}``; held as a pair of tuples, since a configuration is hashed."""


IGNORE: Final = "ignore"
"""Said of a column that is left out."""


def _column_pairs(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    if not isinstance(value, dict):
        raise ValueError("expected {role: column}, such as {label: diagnosis, fold: ignore}")
    pairs = []
    for key, given in value.items():
        names = given if isinstance(given, list) else [given]
        if not names or any(isinstance(name, bool) or not isinstance(name, int | str) for name in (key, *names)):
            raise ValueError(f"expected under {key} the name of a column, a list of names, or {IGNORE}, got {given!r}")
        pairs.append((str(key), tuple(str(name) for name in names)))
    return tuple(pairs)


Columns = Annotated[
    tuple[tuple[str, tuple[str, ...]], ...],
    BeforeValidator(_column_pairs),
    PlainSerializer(lambda pairs: {key: names[0] if len(names) == 1 else list(names) for key, names in pairs}),
    WithJsonSchema(
        {
            "$comment": "{role: column} or {role: [columns]}",
            "type": "object",
            "additionalProperties": {
                "type": ["string", "integer", "array"],
                "items": {"type": ["string", "integer"]},
                "minItems": 1,
            },
        }
    ),
]
"""Written ``{label: diagnosis, fold: ignore}``; held as pairs, since a configuration is hashed."""


def _class_name(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected the name of a class; quote it if it is yes, no, on, off, true or false")
    return str(value) if isinstance(value, int) else value


def _levels(given: Any) -> Any:
    if given in ("auto", "full") or isinstance(given, tuple):
        return given
    numbers = given if isinstance(given, list) else []
    if (
        len(numbers) != 2
        or any(type(level) not in (int, float) for level in numbers)
        or not (0 <= numbers[0] < numbers[1] <= 65535)
    ):
        raise ValueError("expected auto, full or [low, high] with 0 <= low < high <= 65535, levels of 16 bits")
    return tuple(map(float, numbers))


IntensityRange = Annotated[Literal["auto", "full"] | tuple[float, float], BeforeValidator(_levels)]


class Data(Section):
    """The labelled images."""

    source: str
    """A source name with options, such as ``padsd`` or ``folder:path=images``."""
    size: Annotated[int, Field(ge=16, le=1024)] = 64
    """Side in pixels to which every image is resized."""
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of groups for validation, where the source brings no validation part."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """Share of groups for test, where the source brings no test part."""
    channels: Literal[1, 3] = 1
    """1: greyscale; 3: colour, greyscale images repeated."""
    classes: MergedClasses | None = None
    """A binary task of some of the classes, by name or index: ``{0: [normal], 1: [cyst, tumour]}``. If class names are
    numbers, numbers are names."""
    positive: Annotated[str, BeforeValidator(_class_name, json_schema_input_type=str | int)] | None = None
    """The positive one of two classes; None: as the source says, else by the classes' names."""
    columns: Columns | None = None
    """Columns of the source's table by role, ``{path: filename, patient: subject, label: diagnosis}``;
    ``{fold: ignore}`` leaves a column out."""
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training images whose labels are used, drawn by class; stage 1 uses all of them."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Decides the splits that are drawn; None: the run's seed does."""
    splits: str | None = None
    """A split manifest, a CSV file with the columns id, group and split, that replaces the source's splits."""
    range: IntensityRange = "auto"
    """The intensities that are brought to 0 and 1. ``auto``: those that the training images use, where they have 16
    bits and use less than half of the scale; else the whole scale, as ``full``. ``[low, high]``: levels of 16 bits."""


OF_SOURCE: Final = ("splits", "classes", "positive", "columns")
"""Keys of ``data`` that say something of its one source, and nothing of another."""


class Pretrain(Section):
    """Stage 1, SimCLR (eq. 4-7). ``epochs: 0`` leaves it out."""

    data: str | None = None
    """Another, unlabelled source; None takes the training images of ``data.source``, without their labels."""
    encoder: str | None = None
    """A run folder whose pretrained encoder is reused; stage 1 is then left out."""
    epochs: Annotated[int, Field(ge=0)] = 10
    """Passes over the unlabelled images; 0 leaves stage 1 out."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Images in a step, each in two views; the others are its negatives."""
    learning_rate: Positive = 1e-3
    """Highest learning rate of AdamW, after a short rise and before half a cosine to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Weight decay of AdamW."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.2
    """τ of eq. 7."""
    projection_dim: Annotated[int, Field(ge=2)] = 128
    """Width of the embedding z of eq. 6."""
    augmentation: Augmentation = Augmentation()
    """The family from which the two views are drawn."""


SYSTEMS: Final[dict[str, dict[str, Any]]] = {
    "lean_hybrid": {
        "backbone": "compact_cnn",
        "encoding": "rx",
        "rotations": ("rz", "ry", "rz"),
        "entanglement": "ranged",
        "layers": 4,
    },
    "hqcnn": {"backbone": "five_layer_cnn", "superposition": True, "attention": "fourier"},
}
"""What the model of that name sets where a configuration says nothing else; ``ssl_quantum`` has the defaults below."""


class Model(Section):
    """The classifier."""

    name: str = "ssl_quantum"
    """A model of the registry: ssl_quantum, lean_hybrid, hqcnn, or baseline (no circuit)."""
    backbone: str = "mobilenet_v2"
    """A backbone of the registry: compact_cnn, simple_cnn, five_layer_cnn and conventional_cnn are small;
    mobilenet_v2, resnet18, efficientnet_b0 and vgg16 are torchvision's."""
    imagenet: bool = False
    """Start from torchvision's ImageNet weights (downloaded once by torchvision)."""
    qubits: Annotated[int, Field(ge=1, le=16)] = 4
    """Qubits of the circuit: angles that go in, values ⟨Z⟩ that come out."""
    layers: Annotated[int, Field(ge=0, le=32)] = 2
    """Trainable layers of the circuit; 0 leaves the encoding alone."""
    encoding: Literal["ry", "rx"] = "ry"
    """The rotation that takes an angle."""
    rotations: tuple[Literal["rx", "ry", "rz"], ...] = ("rz", "ry")
    """Trainable rotations of a layer, in order; RZ last in the last layer would be dead under ⟨Z⟩."""
    entanglement: Literal["ring", "linear", "full", "ranged", "none"] = "ring"
    """Pairs of qubits that the gates of a layer entangle; ``ranged``: at a distance that grows from layer to layer."""
    entangler: Literal["cx", "cz"] = "cx"
    """The gate that entangles them."""
    reuploading: bool = False
    """Encode the angles again before every layer."""
    superposition: bool = False
    """Hadamard gates before the encoding."""
    attention: Literal["none", "fourier"] = "none"
    """Learned phases in Fourier space at the end of the circuit."""
    branch: Literal["circuit", "mlp", "linear", "fourier"] = "circuit"
    """What turns angles into values; all but ``circuit`` are classical controls (``hybridq.models.controls``)."""
    train_circuit: bool = True
    """False keeps the random weights of the circuit, or of what is in its place: a control."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the values that the head leaves out at random in training."""
    alpha: float = 0.1
    """Initial value of α in eq. 13."""
    train_alpha: bool = True
    """False keeps α; with ``alpha: 0`` the classical half alone is trained: a control."""
    residual: bool = True
    """False leaves h out of eq. 13, so that the circuit alone decides: a control."""
    normalise_q: bool = False
    """Normalise each ⟨Z⟩ before it is used, after QuantumNAT (arXiv:2110.11331): by mean and standard deviation of the
    batch in training, by their running values over training in evaluation, whatever the backend."""
    angle_spread: Annotated[float, Field(gt=0, le=3.2)] = 0.75
    """Standard deviation in radians of the first batch's angles u; W_q is scaled to it."""

    @model_validator(mode="before")
    @classmethod
    def _of_the_system(cls, given: Any) -> Any:
        return {**SYSTEMS.get(str(given.get("name")), {}), **given} if isinstance(given, dict) else given


class Train(Section):
    """Stage 2, supervised fine-tuning (eq. 8-14)."""

    start: str | None = None
    """A run folder from whose trained weights the training starts; stage 1 is then left out."""
    backend: str = "aer"
    """A simulated backend: the noise under which the circuit is trained, and the shots, as in
    ``fake_torino:shots=1024``, which the engine ``exact`` draws in training steps alone."""
    noise_scale: Strengths | None = None
    """Range from which the strength of the backend's noise is drawn for every batch, such as ``[0, 2]``; it is 1 in
    validation. None: always 1."""
    engine: Literal["exact", "aer"] = "exact"
    """``exact``: exact values and gradients in torch; ``aer``: the backend's own estimator and parameter shift."""
    circuit_precision: Literal["float32", "float64"] = "float32"
    """Of the circuit's weights and simulation (complex64 or complex128)."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the labelled training images, if training does not stop early."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Images in a step."""
    learning_rate: Positive = 1e-3
    """Highest learning rate of the backbone, of AdamW."""
    head_learning_rate: Positive = 1e-3
    """Learning rate of everything behind the backbone: compression, circuit, fusion, head."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Weight decay of AdamW; α and the circuit's angles have none."""
    unfreeze: Literal["all", "none"] | Annotated[int, Field(ge=0)] = "all"
    """How much of the encoder is trained: ``all``, ``none``, or the number of its last blocks."""
    class_weights: bool = False
    """Weight the loss by inverse class frequency in the training part; of several labels, each one's positives by the
    negatives to a positive."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Of the learning rates: a short linear rise and half a cosine to zero, or as they are."""
    augmentation: OptionalAugmentation = Augmentation(rotation_degrees=10, crop_ratio=(0.85, 1.0))
    """``none``: the images as they are; with ``unfreeze: none`` their features are then computed once and kept."""
    monitor: Literal["auc", "loss"] = "auc"
    """By what the epoch is chosen whose weights are kept, and training stops early: the highest validation AUC (the
    first of equal ones) or the lowest validation loss, which goes on telling epochs apart where few images are all in
    the right order."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without a better one, by ``monitor``, after which training stops."""
    logger: Literal["csv", "tensorboard"] | None = None
    """A logger of Lightning's beside history.csv, into ``logs/STAGE/version_N`` of the run folder: another N each time
    that a training is continued. None: none."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of torch; 0 is one per core. Results are reproducible at the same number."""

    @property
    def frozen(self) -> bool:
        """Whether nothing of the backbone is trained."""
        return self.unfreeze in ("none", 0)


class Hardware(Section):
    """Evaluations on IBM hardware, where the backend's name and the command line say nothing else; not of training."""

    shots: Annotated[int, Field(ge=1)] = 4096
    """Of every circuit and measurement basis; a multiple of 32 where anything is twirled (resilience 1 and 2)."""
    precision: Annotated[float, Field(gt=0, le=1)] | None = None
    """Standard error of ⟨Z⟩ near zero to aim at; takes the place of ``shots``."""
    resilience: Literal[0, 1, 2] = 1
    """0: plain; 1: readout error mitigated (TREX); 2: gate twirling and zero-noise extrapolation as well."""
    dd: Literal["none", "XX", "XpXm", "XY4"] = "none"
    """Dynamical decoupling of idle qubits."""
    twirl_gates: bool | None = None
    """Twirl gates; None: as the resilience level does."""
    twirl_measure: bool | None = None
    """Twirl measurements; None: as the resilience level does."""
    mitigation: bool | None = None
    """Mitigate readout error (TREX), which needs twirled measurements; None: as the resilience level does."""
    copies: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Copies of the circuit on the chip, each with another image."""
    reference_chunk: bool | None = None
    """Run the first job again at the end, to show drift; None: above three jobs."""
    max_quantum_seconds: Positive | None = None
    """Refuse to submit what is estimated to take more."""
    rep_delay: Annotated[float, Field(ge=0)] | None = None
    """Pause between two executions in microseconds, within the device's range; None: the device's default."""
    references: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """Images that run on every copy, by which patches are compared; auto: up to four, and none in small runs."""
    randomizations: Annotated[int, Field(ge=1)] | None = None
    """Of each circuit where anything is twirled, among which the shots are divided; None: 32."""
    twirl_strategy: Literal["active", "active-accum", "active-circuit", "all"] | None = None
    """Which qubits are twirled around each layer of gates; None: active-accum, as IBM's client."""
    zne_factors: tuple[Annotated[float, Field(ge=1)], ...] | None = None
    """Noise amplifications at resilience 2; None: 1, 3, 5."""
    zne_extrapolator: tuple[str, ...] | None = None
    """Extrapolators to zero noise, tried in order; None: exponential, linear."""
    zne_amplifier: Literal["gate_folding", "gate_folding_front", "gate_folding_back", "pea"] | None = None
    """Which gates are folded where a factor folds only some; None: random ones; pea: none, and noise that was learned
    in a paid job is amplified."""
    dd_schedule: Literal["alap", "asap"] | None = None
    """When gates run where idle time is decoupled, as late or as soon as possible; None: alap."""
    fractional: bool = False
    """Gates of any angle where the device has them; not with twirled gates, nor with decoupling."""
    price_per_second: Positive | None = None
    """Price of a quantum second in a currency of your own, shown beside the seconds."""
    seconds_per_circuit: Annotated[float, Field(ge=0)] = 0.0
    """Fixed charge of the service for every circuit; IBM has one since May 2026 and publishes no number."""
    pec: bool = False
    """Cancel noise that was learned in a paid job (PEC), at resilience 0 or 1."""
    pec_overhead: Annotated[float, Field(ge=1)] | None = None
    """How many times its shots a circuit may take under pec; None: 10."""
    learn_randomizations: Annotated[int, Field(ge=1)] | None = None
    """Of each circuit that learns noise, with pec or zne_amplifier: pea; None: 32."""
    learn_shots: Annotated[int, Field(ge=1)] | None = None
    """Of each of those randomizations; None: 128."""
    learn_depths: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """How often, in pairs, a layer is repeated while its noise is learned; None: 0, 1, 2, 4, 16, 32."""
    noise_max_age: Positive = 24.0
    """Hours for which noise that was learned is used; then it is learned, and paid for, again."""


class Experiment(Section):
    """One run: everything that decides its result."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Name of the run folder."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides everything random: splits that are drawn, initial weights, order, augmentation, shots."""
    data: Data
    """The labelled images."""
    pretrain: Pretrain = Pretrain()
    """Stage 1, without labels."""
    model: Model = Model()
    """The classifier."""
    train: Train = Train()
    """Stage 2, with labels."""
    hardware: Hardware = Hardware()
    """Evaluations on IBM hardware."""

    @property
    def split_seed(self) -> int:
        """The seed of splits that are drawn."""
        return self.seed if self.data.seed is None else self.data.seed


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read ``path`` and apply ``key.sub=value`` overrides (values are YAML).

    Raises :class:`UserError` naming file, key, value and what is allowed.
    """
    return _experiment(read_settings(path), overrides, str(path))


def parse_experiment(text: str, overrides: Sequence[str] = (), *, where: str = "configuration") -> Experiment:
    """The same from YAML text; ``where`` names it in errors."""
    return _experiment(parse_settings(text, where=where), overrides, where)


def _experiment(tree: dict[str, Any], overrides: Sequence[str], where: str) -> Experiment:
    for override in overrides:
        _override(tree, override)
    try:
        experiment = Experiment.model_validate(tree)
    except ValidationError as error:
        raise UserError(sentences(where, error, Experiment)) from None
    logger.debug("%s: %s", where, experiment)
    return experiment


def sentences(where: str, error: ValidationError, root: type[BaseModel]) -> str:
    """What is wrong with the settings of a file, each key named; ``root`` is the model of the whole file."""
    return "; ".join(_sentence(where, item, root) for item in error.errors())


def dump_experiment(experiment: Experiment) -> str:
    """The resolved, complete configuration as YAML; :func:`parse_experiment` reads it back unchanged."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(tree: dict[str, Any], override: str) -> None:
    """Set the key in ``tree``; of two overrides of one key the later one counts, as on any command line."""
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value, such as --set train.epochs=5")
    *sections, leaf = key.split(".")
    node: dict[str, Any] = tree
    for section in sections:
        below = node.setdefault(section, {})
        if below is None:
            below = node[section] = {}
        if not isinstance(below, dict):
            raise UserError(f"--set {override}: {section} is a value, not a section")
        node = below
    node[leaf] = parse_yaml(value, where=f"--set {override}")


def _sentence(where: str, item: Any, root: type[BaseModel]) -> str:
    steps = [str(step) for step in item["loc"] if not str(step).startswith(("function-", "literal[", "constrained-"))]
    key = ".".join(steps)
    if item["type"] == "extra_forbidden":
        known = _known_keys(steps[:-1], root)
        nearest = difflib.get_close_matches(steps[-1], known, n=1, cutoff=0.5)
        hint = f"; did you mean {'.'.join([*steps[:-1], nearest[0]])}?" if nearest else f"; known: {', '.join(known)}"
        return f"{where}: unknown key {key}{hint}"
    if item["type"] == "missing":
        return f"{where}: {key} is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {key} = {item['input']!r}; {message[0].lower()}{message[1:]}{_advice(item)}"


def _advice(item: Any) -> str:
    """How the value is written rightly, where YAML took it for something else."""
    given = item["input"]
    if item["type"] == "string_type" and isinstance(given, (int, float)):
        return f"; YAML takes this for a number, and a text is put in quotes, as in '{given}'"
    if item["type"] == "tuple_type":
        return f"; a list is written as [{given}]" if isinstance(given, (int, float, str)) else ""
    if item["type"] in ("model_type", "dict_type"):
        return "; it is a section, with keys below it"
    return ""


def _known_keys(sections: Sequence[str], root: type[BaseModel]) -> list[str]:
    """The keys of a section; none where it is not known."""
    model: Any = root
    for section in sections:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(section)
            model = None if field is None else _section_in(field.annotation)
    return list(model.model_fields) if model is not None else []


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a value, or each of several by name, is."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_section_in(part) for part in get_args(annotation))
    return next((section for section in found if section is not None), None)
