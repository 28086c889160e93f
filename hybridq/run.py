"""The public face of a trained model: one object that evaluates, compares, predicts, plans, studies and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridq.config import Experiment, load_experiment
from hybridq.errors import UserError
from hybridq.progress import announce, shown
from hybridq.results.evaluation import Evaluation, read_evaluation, read_evaluations
from hybridq.results.selection import ImageChoice
from hybridq.run_folder import RunFolder, open_run
from hybridq.typing import Progress

if TYPE_CHECKING:
    import pandas as pd
    from qiskit import QuantumCircuit

    from hybridq.evaluation.inference import Inference
    from hybridq.models import Classifier
    from hybridq.results.comparison import Comparison
    from hybridq.studies.noise.config import NoiseStudy
    from hybridq.studies.noise.tables import Tables
    from hybridq.submission import SubmissionPlan
    from hybridq.training.loggers import Loggers


class Run:
    """A finished run: the same trained weights on any backend.

    Nothing is loaded before it is asked for. ``progress`` of every method is told what is done; None shows bars on a
    terminal, a line in a notebook, and nothing elsewhere.

    >>> run = hq.load("runs/mine")  # doctest: +SKIP
    >>> run.evaluate("fake_torino").table()  # doctest: +SKIP
    """

    def __init__(self, folder: RunFolder, progress: Progress | None = None) -> None:
        self._run = folder
        self._progress = progress
        self._inferences: dict[ImageChoice, Inference] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.config.model.name}, {self.task}, {', '.join(self.classes)})"

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self._run.folder

    @property
    def config(self) -> Experiment:
        """Resolved configuration."""
        return self._run.experiment

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or of the labels where an image may have several."""
        return self._run.classes

    @property
    def task(self) -> str:
        """binary, multi-class, ordinal or multi-label."""
        return self._run.task

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per epoch of both stages: losses, validation AUC, seconds."""
        import pandas as pd

        return pd.read_csv(self._run.history)

    @cached_property
    def model(self) -> Classifier:
        """Trained torch module in evaluation mode."""
        from hybridq.models.build import load_model

        return load_model(self._run)

    @property
    def circuit(self) -> QuantumCircuit | None:
        """Quantum circuit with its parameters; None where the model has none."""
        from hybridq.evaluation.inference import circuit_of
        from hybridq.models.build import has_circuit

        return circuit_of(self._run).circuit if has_circuit(self.config.model) else None

    def evaluate(
        self,
        backend: str = "aer",
        *,
        split: str = "test",
        limit: int | None = None,
        stratified: bool = False,
        data: str | None = None,
        own_range: bool = False,
        replace_q: str | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Evaluate the trained weights on a simulated backend; a finished evaluation is read, never computed again.

        Args:
            backend: name such as ``aer``, ``aer:shots=4096``, ``fake_kingston`` or ``noise:readout=0.02``. Finished
                evaluations of hardware are read by their name; ``plan`` makes new ones.
            split: ``train``, ``validation`` or ``test``.
            limit: so many images, drawn with the run's seed; None: all.
            stratified: keep the split's shares of classes in a limited choice.
            data: another source with the same classes, on which the weights are tested as they are.
            own_range: bring the images of ``data`` to their own range of intensities.
            replace_q: ``mean`` or ``shuffle``, to see whether the decision uses the circuit's values.
            progress: told what is done.

        Raises:
            UserError: images that do not exist, hardware that was not evaluated, or a choice that is not possible.
            BackendError: a backend that does not exist.
        """
        from backends.names import parse_name

        choice = ImageChoice(split, limit, stratified, data, own_range)
        if parse_name(backend).kind == "ibm":
            return self._on_hardware(backend, choice)
        from hybridq.evaluation.evaluate import evaluate, plan_evaluation

        plan = plan_evaluation(self._inference(choice), backend, replace_q=replace_q)
        if not plan.finished:
            with shown(progress or self._progress) as told:
                evaluate(plan, progress=told)
        return read_evaluation(plan.folder)

    def compare(
        self,
        backends: Sequence[str],
        *,
        split: str = "test",
        limit: int | None = None,
        stratified: bool = False,
        progress: Progress | None = None,
    ) -> Comparison:
        """Compare backends on the same images, paired, with intervals; what is missing is evaluated first."""
        from hybridq.results.comparison import compare

        if len(set(backends)) < 2:
            raise UserError(f"a comparison needs another backend beside {', '.join(backends) or 'none'}")
        found = [
            self.evaluate(name, split=split, limit=limit, stratified=stratified, progress=progress)
            for name in dict.fromkeys(backends)
        ]
        return compare(found, seed=self.config.seed)

    def evaluations(self) -> list[Evaluation]:
        """Return all finished evaluations, from ideal to real."""
        return read_evaluations(self.folder)

    def predict(
        self, images: str | Path | Sequence[str | Path], *, backend: str = "aer", progress: Progress | None = None
    ) -> pd.DataFrame:
        """Return class and probabilities of image files, or of those below folders, one row per file.

        The last column has remarks: why a file cannot be read, or how it is unlike the images trained on.
        """
        import pandas as pd

        from hybridq.evaluation.predict import Predictor, image_files

        given = [images] if isinstance(images, (str, Path)) else images
        files, _ = image_files([Path(image) for image in given])
        with shown(progress or self._progress) as told:
            found = [some.table for some in Predictor(self._run, backend).predict(files, told)]
        return pd.concat(found, ignore_index=True)

    def plan(
        self,
        device: str,
        *,
        split: str = "test",
        limit: int | None = None,
        stratified: bool = False,
        repeat: str | None = None,
    ) -> SubmissionPlan:
        """Plan an evaluation on IBM hardware: where the circuit would be placed, which jobs, and what they cost.

        Asks the service for the device's calibration; nothing is submitted. ``repeat`` is a label under which the
        device is asked again.
        """
        from hybridq.submission import SubmissionPlan

        choice = ImageChoice(split, limit, stratified)
        return SubmissionPlan.of(self._run, device, choice, repeat=repeat, progress=self._progress)

    def noise_study(self, study: NoiseStudy | str | Path | None = None, *, progress: Progress | None = None) -> Tables:
        """Measure what sources and strengths of noise do to the decisions; continues where it was interrupted.

        Writes tables and figures into ``noise`` of the run folder. ``study`` is a file such as
        ``configs/studies/noise.yaml`` or a :class:`NoiseStudy`; None has its defaults.
        """
        import time

        from hybridq.studies.noise.config import NoiseStudy, load_noise_study
        from hybridq.studies.noise.run import study_run
        from hybridq.studies.noise.write import write_results

        wanted = study if isinstance(study, NoiseStudy) else load_noise_study(None if study is None else Path(study))
        started = time.perf_counter()
        with shown(progress or self._progress) as told:
            studied = study_run(self._run, wanted, progress=told)
            seconds = time.perf_counter() - started
            return write_results([studied], wanted, self.folder / "noise", seconds=seconds, progress=told)

    def mitigation_study(
        self,
        backend: str,
        *,
        split: str = "test",
        limit: int | None = None,
        stratified: bool = False,
        learned_noise: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Compare methods of error mitigation on a simulated device: bias, scatter, flips and cost, a row per method.

        Written to ``mitigation`` of the run folder; a finished study is read. ``learned_noise`` adds PEA and PEC.
        """
        import pandas as pd

        from hybridq.studies.mitigation.run import mitigate, plan_mitigation
        from hybridq.studies.mitigation.tables import TABLE

        plan = plan_mitigation(
            self._inference(ImageChoice(split, limit, stratified)), backend, learned_noise=learned_noise
        )
        with shown(progress or self._progress) as told:
            folder = mitigate(plan, progress=told)
        return pd.read_csv(folder / TABLE)

    def report(self, *, threshold: str = "youden") -> Path:
        """Write report.html, one file with everything saved in the run, and return its path.

        ``threshold`` is the rule for the operating point: ``youden``, ``sensitivity=0.95`` or ``cost=10:1``. Validation
        images are evaluated first, where two classes need them.
        """
        from hybridq.reports.page import write_report
        from hybridq.statistics.operating_point import parse_rule

        rule = parse_rule(threshold)
        if len(self.classes) == 2 and self.task != "multi-label" and self.evaluations():
            self.evaluate("aer", split="validation")
        return write_report(self.folder, rule)

    def export(
        self,
        *,
        surrogate: str | Path | None = None,
        onnx: str | Path | None = None,
        torch_export: str | Path | None = None,
        backend: str = "aer",
        split: str = "test",
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Write the trained weights as files that run without Qiskit, each checked on images first.

        ``surrogate`` is the quantum layer alone (``.safetensors`` or ``.pt2``); ``onnx`` and ``torch_export``
        (``.pt2``) are the whole classifier.
        """
        from hybridq.export.export import Targets
        from hybridq.export.export import export as write

        targets = Targets(*(None if path is None else Path(path) for path in (surrogate, onnx, torch_export)))
        with shown(progress or self._progress) as told:
            written = write(self._run, targets, backend=backend, split=split, limit=limit, progress=told)
        return [file.path for file in written.files]

    def inference(
        self, *, split: str = "test", limit: int | None = None, stratified: bool = False, data: str | None = None
    ) -> Inference:
        """Return the model on chosen images: features, angles, weights, and decisions from any circuit values."""
        return self._inference(ImageChoice(split, limit, stratified, data))

    def _inference(self, choice: ImageChoice) -> Inference:
        """The last one is kept, so that several backends share features and angles."""
        from hybridq.evaluation.inference import Inference

        if choice not in self._inferences:
            self._inferences = {choice: Inference.of(self._run, choice, self._progress)}
        return self._inferences[choice]

    def _on_hardware(self, backend: str, choice: ImageChoice) -> Evaluation:
        from hybridq.evaluation.hardware_plan import plan

        asked = plan(self._run, backend, choice)
        if not asked.finished:
            raise UserError(
                f"{backend} is hardware, where every job costs: run.plan({backend!r}) shows what would be sent, "
                ".submit(max_quantum_seconds=…) sends it"
            )
        return read_evaluation(asked.folder)


def train(
    config: str | Path | Experiment,
    *,
    overrides: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    allow_leaks: bool = False,
    logger: Loggers = None,
    progress: Progress | None = None,
) -> Run:
    """Train both stages into a run folder and return the finished run; a killed training continues.

    Args:
        config: YAML file, or an experiment.
        overrides: keys and values such as ``{"train.epochs": 5}``, which go before the file.
        runs: folder that holds the run folders.
        allow_leaks: train on splits that the audit rejects; every report says so.
        logger: a logger of Lightning's, or several, beside ``train.logger``.
        progress: told what is done; see :class:`Run`.

    Raises:
        UserError: a mistake in configuration or data, or splits that leak.
    """
    experiment = config if isinstance(config, Experiment) else load_config(config, overrides)
    if isinstance(config, Experiment) and overrides:
        raise UserError("overrides are for a file; change the experiment itself")
    from hybridq.training.train import train as run_training

    with shown(progress) as told:
        folder = run_training(
            experiment, Path(runs), announce=announce, progress=told, allow_leaks=allow_leaks, logger=logger
        )
    return Run(folder, progress)


def load(folder: str | Path, *, progress: Progress | None = None) -> Run:
    """Open the folder of a finished run; raises :class:`UserError` where it is none."""
    return Run(open_run(Path(folder)), progress)


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read a configuration, with keys such as ``{"train.epochs": 5}`` in place of the file's.

    Raises :class:`UserError` naming the key, its value and what is allowed.
    """
    import json

    settings = [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
    return load_experiment(Path(path), settings)
