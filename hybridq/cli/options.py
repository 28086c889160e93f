"""Arguments and options that several commands share, and what they mean for a backend's name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridq.errors import UserError

if TYPE_CHECKING:
    from hybridq.config import Hardware

HARDWARE = "IBM hardware"

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, such as runs/NAME.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
Split = Annotated[str, typer.Option(help="Which part of the images: train, validation or test.")]
Limit = Annotated[int | None, typer.Option(help="Evaluate that many images only, drawn with the run's seed.")]
Stratified = Annotated[bool, typer.Option("--stratified", help="Draw --limit images with the split's class shares.")]
Yes = Annotated[bool, typer.Option("--yes", help="Submit without asking.", rich_help_panel=HARDWARE)]
MaxQuantumSeconds = Annotated[
    float | None,
    typer.Option(
        "--max-quantum-seconds",
        metavar="SECONDS",
        help="Refuse to submit what is estimated to take more.",
        rich_help_panel=HARDWARE,
    ),
]
ThresholdRule = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="RULE",
        help="How the threshold of two classes is chosen on validation images: youden (the largest sum of sensitivity "
        "and specificity), sensitivity=0.95 (at least that), or cost=10:1 (the lowest cost where a missed positive "
        "costs 10 false alarms).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]


@dataclass(frozen=True)
class SubmissionOptions:
    """How to submit to hardware; says nothing about results."""

    yes: bool = False
    dry_run: bool = False
    detach: bool = False
    max_quantum_seconds: float | None = None
    reference_chunk: bool | None = None
    repeat: str | None = None
    price: float | None = None
    dry_run_at_service: bool = False
    noise_max_age: float | None = None

    def completed(self, hardware: Hardware) -> SubmissionOptions:
        """With what was left open taken from the configuration."""
        most, chunk, age = self.max_quantum_seconds, self.reference_chunk, self.noise_max_age
        if age is not None and not 0 < age < math.inf:
            raise UserError(f"--noise-max-age {age:g}: hours, above 0")
        return replace(
            self,
            max_quantum_seconds=hardware.max_quantum_seconds if most is None else most,
            reference_chunk=hardware.reference_chunk if chunk is None else chunk,
            noise_max_age=hardware.noise_max_age if age is None else age,
        )

    def given(self) -> list[str]:
        """The options that mean something on hardware only, as they were written."""
        flags = {
            "--dry-run": self.dry_run,
            "--dry-run-at-service": self.dry_run_at_service,
            "--detach": self.detach,
            "--max-quantum-seconds": self.max_quantum_seconds is not None,
            "--reference-chunk": self.reference_chunk is not None,
            "--repeat": self.repeat is not None,
            "--price": self.price is not None,
            "--noise-max-age": self.noise_max_age is not None,
        }
        return [flag for flag, is_given in flags.items() if is_given]


def with_options(backend: str, **options: Any) -> str:
    """A backend's name with the options that are not None: one string names what results depend on.

    Raises :class:`backends.errors.BackendError` for options that the backend does not have or the name has already.
    """
    from backends.names import parse_name

    parse_name(backend)
    switches = {True: "on", False: "off"}
    items = [
        f"{name}={switches[value] if isinstance(value, bool) else value}"
        for name, value in options.items()
        if value is not None
    ]
    return parse_name(",".join([backend.strip(), *items])).canonical
