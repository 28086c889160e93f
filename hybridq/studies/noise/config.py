"""What a noise study varies, read from one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, field_validator

from backends.errors import BackendError
from backends.names import LayoutRank, parse_name
from hybridq.config import Section, sentences
from hybridq.errors import UserError
from hybridq.yaml_text import read_settings

NoiseSource = Literal["all", "one_qubit", "two_qubit", "relaxation", "idle", "readout", "coherent"]
"""``all`` is the calibration as it is; the others are those of :func:`backends.noise_sources.one_source`."""
SOURCES: Final[tuple[NoiseSource, ...]] = (
    "all",
    "one_qubit",
    "two_qubit",
    "relaxation",
    "idle",
    "readout",
    "coherent",
)


class NoiseStudy(Section):
    """The settings of ``hybridq study noise``. Cells are computed exactly unless they draw shots."""

    devices: Annotated[tuple[str, ...], Field(min_length=1)] = ("fake_torino",)
    """Noisy simulated backends that are studied in full: every source and strength, shots, layouts, seeds."""
    others: tuple[str, ...] = ("fake_marrakesh", "fake_brisbane", "fake_mumbai")
    """Those of which only ``all`` sources together are studied, at every strength: other calibrations."""
    sources: Annotated[tuple[NoiseSource, ...], Field(min_length=1)] = SOURCES
    """Kinds of noise, one at a time; ``all`` is the calibration as it is."""
    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1)] = (
        0.25,
        0.5,
        1,
        1.5,
        2,
        3,
        4,
    )
    """Strengths, in multiples of a device's own noise; 0 is the noiseless simulator, and always there."""
    shots: tuple[Annotated[int, Field(ge=1)], ...] = (64, 256, 1024, 4096, 16384, 65536)
    """Shots a circuit at strength 1, and without noise; exact values are always there."""
    draws: Annotated[int, Field(ge=1)] = 3
    """How often each number of shots is drawn."""
    layouts: tuple[LayoutRank, ...] = ("best", "median", "worst")
    """Where the circuit is placed, at strength 1; everything else is placed on the best qubits."""
    seeds_transpiler: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4)
    """Seeds of the transpiler, which then chooses the qubits, at strength 1; everything else takes the best of several
    placements."""
    split: str = "test"
    """The part of the images that is evaluated: train, validation or test."""

    @field_validator("devices", "others")
    @classmethod
    def _noisy(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_noisy_name(name) for name in names)

    @field_validator("sources", "scales", "shots", "layouts", "seeds_transpiler")
    @classmethod
    def _each_once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) != len(values):
            raise ValueError(f"{', '.join(map(str, values))}: one is listed twice")
        return values


def load_noise_study(path: Path | None) -> NoiseStudy:
    """The study of a file; None: the defaults. Raises :class:`UserError` naming file and key."""
    if path is None:
        return NoiseStudy()
    tree = read_settings(path)
    try:
        return NoiseStudy.model_validate(tree)
    except ValidationError as error:
        raise UserError(sentences(str(path), error, NoiseStudy)) from None


def _noisy_name(name: str) -> str:
    """Its canonical form."""
    try:
        parsed = parse_name(name)
    except BackendError as error:
        raise ValueError(str(error)) from None
    if parsed.kind not in ("fake", "noise"):
        raise ValueError(f"{name} is no noise that stays the same; allowed are fake_<device> and noise:RATE=…")
    varied = (parsed.shots, parsed.seed, parsed.scale, parsed.source, parsed.layout, parsed.seed_transpiler)
    if varied != (None, None, 1.0, None, "best", None):
        raise ValueError(f"{name}: leave out what the study varies (shots, seed, scale, source, layout)")
    return parsed.canonical
