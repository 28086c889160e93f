"""Hardware evaluations as they are asked for: which images, under which name and key. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.task import Submission, is_kept
from backends.names import BackendName, parse_name
from hybridq.errors import UserError
from hybridq.results.selection import ImageChoice, Selection, choose
from hybridq.run_folder import RunFolder, open_run

NOT_IN_THE_NAME = (
    *("reference_chunk", "max_quantum_seconds", "price_per_second", "seconds_per_circuit", "noise_max_age"),
)
"""Settings of the section ``hardware`` that results do not depend on."""
LEFT_OUT = {("copies", "auto"), ("dd", "none"), ("references", "auto"), ("fractional", "off"), ("pec", "off")}
"""Settings that a name does not spell out."""


@dataclass(frozen=True)
class HardwarePlan:
    """An evaluation on a device: nothing is asked of the service yet."""

    run: RunFolder
    name: BackendName
    """With what the run's configuration adds; shots and resilience written out."""
    selection: Selection
    seed: int
    repeat: str | None
    """Label of a repetition; another label is another evaluation."""
    key: str
    request: dict[str, Any]
    """Split, limit and so on, as asked; enough to prepare the same evaluation again."""

    @property
    def label(self) -> str:
        """What results call it: the backend's name, and the repetition."""
        return self.name.canonical + (f" (repeat {self.repeat})" if self.repeat else "")

    @property
    def device(self) -> str:
        """Name of the device at IBM."""
        return str(self.name.device)

    @property
    def options(self) -> HardwareOptions:
        """Shots, mitigation and so on."""
        return self.name.options or HardwareOptions()

    @property
    def folder(self) -> Path:
        """Of the results; there once they are whole."""
        return self.run.result_folder("evaluations", self.label, self.key)

    @property
    def task_folder(self) -> Path:
        """Of what was sent and what came back."""
        return self.run.result_folder("hardware", self.label, self.key)

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never asked for again."""
        return (self.folder / "metrics.json").is_file()

    @property
    def submitted(self) -> bool:
        """Whether a task is kept, so that it is continued and not planned anew."""
        return is_kept(self.task_folder)


def plan(run: RunFolder, backend: str, choice: ImageChoice | None = None, *, repeat: str | None = None) -> HardwarePlan:
    """Choose the images and name the evaluation; asks no service and loads no torch.

    Its key is a hash of backend and options, images, weights, circuit, seed and label. Raises :class:`UserError` as
    :func:`hybridq.results.selection.choose`, for images of another source, and for an empty label.
    """
    choice = choice or ImageChoice()
    if choice.data is not None:
        raise UserError(f"--data is for simulated backends; {backend} is hardware")
    if repeat is not None and not repeat.strip():
        raise UserError("--repeat needs a label, such as --repeat second-day")
    return _evaluation(run, complete_name(run, backend), choice, repeat)


def _evaluation(run: RunFolder, name: BackendName, choice: ImageChoice, repeat: str | None) -> HardwarePlan:
    experiment, selection = run.experiment, choose(run, choice)
    seed = experiment.seed if name.seed is None else name.seed
    key = run.result_key(
        choice.split,
        selection.ids,
        backend=name.canonical,
        model=experiment.model.key_content(),
        seed=seed,
        repeat=repeat,
    )
    asked = {"split": choice.split, "limit": choice.limit, "stratified": choice.stratified}
    request = {"backend": name.canonical, **asked, "repeat": repeat}
    return HardwarePlan(run, name, selection, seed, repeat, key, request)


def complete_name(run: RunFolder, backend: str) -> BackendName:
    """A hardware backend's name with what it leaves open taken from the run's configuration (``hardware``).

    Shots (or precision) and resilience are written out: ``ibm_boston`` and ``ibm_boston:shots=4096`` may ask for the
    same and so must be called the same. Raises :class:`UserError` where name and configuration do not go together.
    """
    base, _, given = parse_name(backend).canonical.partition(":")
    asked = dict(item.split("=", 1) for item in given.split(",")) if given else {}
    hardware = run.experiment.hardware
    taken = {"shots" if hardware.precision is not None else "precision"}
    if asked.keys() & {"shots", "precision"}:
        taken = {"shots", "precision"}
    left_out = {*NOT_IN_THE_NAME, *taken}
    known = {key: value for key, value in hardware.key_content().items() if key not in left_out}
    items = {key: _in_a_name(value) for key, value in known.items() if value is not None} | asked
    items = {key: value for key, value in items.items() if (key, value) not in LEFT_OUT}
    try:
        return parse_name(f"{base}:{','.join(f'{key}={value}' for key, value in items.items())}")
    except BackendError as error:
        raise UserError(f"{run.config} (hardware), with {backend}: {error}") from None


def _in_a_name(value: Any) -> Any:
    """Return a setting as a backend's name has it: ``on`` and ``off``, and slashes between the parts of a list."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "/".join(str(part) for part in value) if isinstance(value, (list, tuple)) else value


def plan_of(task: Submission) -> HardwarePlan:
    """The evaluation that a kept task belongs to; raises :class:`UserError` where the run is no longer what it was."""
    if "request" not in task.record:
        raise UserError(f"{task.folder}: was submitted by a program of your own, and the same program goes on with it")
    request = dict(task.record["request"])
    # The name is complete: what the configuration says by now is another evaluation's.
    run = run_of(task)
    name, repeat = parse_name(request.pop("backend")), request.pop("repeat")
    evaluation = _evaluation(run, name, ImageChoice(**request), repeat)
    if evaluation.key != task.key:
        raise UserError(
            f"{run.folder}: weights, images or configuration were changed since {task.backend} was submitted; its raw "
            f"results are in {task.folder}"
        )
    return evaluation


def run_of(task: Submission) -> RunFolder:
    """The run that a task is of: the one whose folder it is kept in, wherever that is by now."""
    return open_run(task.folder.parent.parent)


def find_task_folder(noted: Path) -> Path | None:
    """Where a task is kept that was noted in a folder; None where it is gone.

    A run that was renamed or moved is looked for among the folders beside where it was, and in the working directory
    and its folder of runs. Two copies of it are not told apart, and so neither is taken.
    """
    if is_kept(noted):
        return noted
    places = {noted.parent.parent.parent.absolute(), Path.cwd(), Path.cwd() / "runs"}
    pattern = f"*/{noted.parent.name}/{noted.name}"
    found = {
        folder.resolve() for place in places if place.is_dir() for folder in place.glob(pattern) if is_kept(folder)
    }
    return found.pop() if len(found) == 1 else None
