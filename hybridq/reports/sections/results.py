"""What a report says, gathered from the files of a run; how it looks is the template's matter."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hybridq.config import Experiment
from hybridq.figures import evaluations as figures
from hybridq.figures.style import Drawn, colour, css_name
from hybridq.reports.sections.decisions import Decisions, decisions
from hybridq.reports.sections.representations import Representation, representation
from hybridq.reports.sections.tasks import View, view_of
from hybridq.results.comparison import Comparison, compare
from hybridq.results.device_error import ErrorParts, device_sentences, signed_sqrt
from hybridq.results.evaluation import Evaluation, read_evaluations, sampling
from hybridq.results.operating_points import validations
from hybridq.run_folder import RunFolder
from hybridq.statistics.operating_point import Rule

CLASSICAL_SHARE = 0.01
"""A quantum share below this makes the model classical for every practical purpose."""


@dataclass(frozen=True)
class Results:
    """Evaluations of one set of samples."""

    title: str
    note: str
    evaluations: list[Evaluation]
    colours: list[str]
    comparison: Comparison | None
    """None where only one backend was evaluated."""
    overview: list[Drawn]
    details: list[Drawn]
    """Confusion matrices, or figures by label."""
    scatters: list[Drawn]
    devices: list[Device]
    decisions: Decisions | None
    """Operating point, calibration, risk by coverage; None where an image may have several labels."""
    representation: Representation
    """Of the first evaluation from q as it is, the noiseless one where there is one."""


@dataclass(frozen=True)
class Device:
    """An evaluation that was sent to a device."""

    backend: str
    sentences: list[str]
    parts: ErrorParts | None
    patches: list[dict[str, Any]]
    """One row a copy: qubits, expected error and, with several copies, how it read the reference images."""
    cost: str


def view(run: RunFolder) -> View:
    """How the run's task is shown."""
    return view_of(run.task, run.classes)


def results(run: RunFolder, rule: Rule) -> list[Results]:
    """The evaluations of the run, those of the same samples together: the run's own data first, and of it the test
    images, the largest set. ``rule`` chooses the operating point.

    Validation images that were evaluated on the noiseless simulator alone, as choosing a threshold needs it, are no
    result of their own where there is another.
    """
    found = read_evaluations(run.folder)
    together: dict[tuple[str | None, frozenset[str]], list[Evaluation]] = {}
    for evaluation in found:
        together.setdefault((evaluation.source, frozenset(evaluation.ids)), []).append(evaluation)
    sets = sorted(map(_latest, together.values()), key=_place)
    shown = [s for s in sets if not (_of_validation(s[0]) and len(s) == 1 and s[0].kind == "noiseless")] or sets
    of_validation = validations(found)
    return [_results(run, evaluations, of_validation, rule, f"set{number}") for number, evaluations in enumerate(shown)]


def _place(evaluations: Sequence[Evaluation]) -> tuple[str, bool, int]:
    first = evaluations[0]
    return first.source or "", first.record["split"] != "test", -len(first.ids)


def _of_validation(evaluation: Evaluation) -> bool:
    return evaluation.source is None and evaluation.record["split"] == "validation"


def _latest(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Of evaluations of one name (calibrations of two days, say) the one that finished last, in the order given."""
    last = {e.backend: e for e in sorted(evaluations, key=lambda e: str(e.record.get("finished", "")))}
    return [e for e in evaluations if last[e.backend] is e]


def _devices(evaluations: Sequence[Evaluation], comparison: Comparison | None) -> list[Device]:
    parts = {b.backend: b.error_parts for b in comparison.backends} if comparison else {}
    found = []
    for e in evaluations:
        hardware = e.record.get("hardware")
        if hardware is not None:
            found.append(
                Device(
                    backend=e.backend,
                    sentences=device_sentences(hardware, bool(e.record["simulated"])),
                    parts=parts.get(e.backend),
                    patches=hardware["patches"],
                    cost=_cost(e.record),
                )
            )
    return found


def _cost(record: dict[str, Any]) -> str:
    """What an evaluation on a device cost, a sentence."""
    jobs, charged = len(record["hardware"]["jobs"]), record.get("quantum_seconds")
    estimated = f"{record['estimated_quantum_seconds']:,.1f} were estimated"
    counted = f"{jobs} job{'' if jobs == 1 else 's'}"
    if charged is None:
        return f"{counted}; the service has not counted their quantum seconds yet ({estimated})."
    each = charged / record["samples"]
    return f"{counted}, {charged:,.1f} quantum seconds charged ({estimated}): {each:.3f} for each image."


def _results(
    run: RunFolder, evaluations: list[Evaluation], validation: dict[str, Evaluation], rule: Rule, name: str
) -> Results:
    first, classes, seed = evaluations[0], run.classes, run.experiment.seed
    split, selection = first.record["split"], first.record["selection"]
    comparison = compare(evaluations, seed=seed) if len(evaluations) > 1 else None
    backends = ", ".join(figures.backend_label(e) for e in evaluations)
    rates = first.task.rates_of(classes)

    def drawn(figure: Figure, kind: str, caption: str, alt: str) -> Drawn:
        return Drawn.of(figure, f"{name}-{kind}", caption, alt)

    overview = [
        drawn(
            figures.metric_bars(evaluations),
            "bars",
            f"The seven metrics with 95 % intervals. {rates}",
            f"Bar chart of the seven metrics with intervals on {backends}; the values are in the table above.",
        ),
        drawn(
            figures.roc(evaluations),
            "roc",
            f"ROC curves{view(run).curve}. {rates}",
            "ROC curves: "
            + "; ".join(f"{e.backend} AUC {e.metrics['metrics']['auc']['value']:.3f}" for e in evaluations),
        ),
        drawn(
            figures.radar(evaluations),
            "radar",
            f"The seven metrics as a radar. {rates}",
            f"Radar chart of the seven metrics on {backends}; the values are in the table above.",
        ),
    ]
    details = [drawn(d.figure, d.kind, d.caption, d.alt) for d in view(run).details(evaluations, classes)]
    scatters: list[Drawn] = []
    if comparison is not None:
        reference = next(e for e in evaluations if e.backend == comparison.reference)
        for i, e in enumerate(evaluations):
            if e is not reference and e.intervention is None:
                alt = f"Scatter of ⟨Z⟩ of every qubit and image, {reference.backend} across, {e.backend} upwards."
                scatters.append(drawn(figures.z_scatter(reference, e, i), f"z{i}", "", alt))
    counted = f"{len(first.ids):,} images" + ("" if selection == "all" else f" ({selection})")
    elsewhere = "" if first.source is None else "Nothing was trained or chosen on this source."
    said = [f"{counted}.", elsewhere, f"Intervals: {first.metrics['interval']}.", *first.metrics.get("notes", [])]
    return Results(
        title=f"Results on the {split} split"
        + ("" if first.source is None else f" of {first.source}, data of another source")
        + ("" if selection == "all" else f", {selection}"),
        note=" ".join(filter(None, said)),
        evaluations=evaluations,
        colours=[css_name(colour(i)) for i in range(len(evaluations))],
        comparison=comparison,
        overview=overview,
        details=details,
        scatters=scatters,
        devices=_devices(evaluations, comparison),
        # On the images that the threshold was chosen on it says nothing.
        decisions=None if _of_validation(first) else decisions(evaluations, validation, classes, rule, name, seed),
        representation=representation(
            next((e for e in evaluations if e.intervention is None), first), classes, name, seed
        ),
    )


def chosen_by(experiment: Experiment) -> str:
    """Name what the epoch has whose weights are kept."""
    return "best validation AUC" if experiment.train.monitor == "auc" else "lowest validation loss"


def training_figure(run: RunFolder, training: dict[str, Any]) -> Drawn | None:
    """The training curves; None where no history was written."""
    history = _history(run)
    if history is None:
        return None
    drawing = figures.training_curves(history, int(training["best_epoch"]))
    alt = (
        "Training curves by epoch: contrastive loss, training and validation loss, validation AUC "
        f"({training['best_validation_auc']:.3f} in epoch {training['best_epoch']}, whose weights are kept), α, "
        "quantum share and the gradient norm of the circuit."
    )
    caption = f"By epoch. The weights of the epoch with the {chosen_by(run.experiment)} are the ones evaluated."
    return Drawn.of(drawing, "training", caption, alt)


def quantum_share(run: RunFolder) -> float | None:
    """The last recorded share of the quantum branch in the fused features' variation; None where not recorded."""
    history = _history(run)
    if history is None or "quantum_share" not in history.columns:
        return None
    recorded = history["quantum_share"].dropna()
    return float(recorded.iloc[-1]) if len(recorded) else None


def circuit_image(run: RunFolder) -> str | None:
    """circuit.png as a data URI; None where the run has no circuit."""
    path = run.folder / "circuit.png"
    if not path.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def optional(run: RunFolder, name: str) -> Any:
    """The content of a JSON file of the run, or None where it was not written."""
    return run.read_json(name) if (run.folder / name).is_file() else None


def split_counts(run: RunFolder, data: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the data table: split, images of each class, all images, groups (None where groups are unknown)."""
    splits = run.read_splits()
    rows = []
    for split, counts in data["counts"].items():
        groups = splits.loc[(splits["split"] == split) & (splits["group"] != ""), "group"].nunique()
        rows.append(
            {
                "split": split,
                "counts": [counts.get(name, 0) for name in data["classes"]],
                "images": int((splits["split"] == split).sum()),
                "groups": groups if groups and data["groups"] != "none" else None,
            }
        )
    return rows


def root_mean_square(square: float | None) -> str:
    """The root of a mean square, four decimals, with the sign of the square; a dash for None."""
    value = signed_sqrt(square)
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


def moment(iso: str) -> str:
    """An ISO time as a reader wants it, such as ``2026-01-05 10:00 UTC``; anything else as it is."""
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def record_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """What ran where: title and a cell for each evaluation; rows that nothing fills are left out."""
    rows: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("What it is", lambda r: f"{r['kind']}{'' if r['simulated'] else ' (a real quantum device)'}"),
        ("Split", lambda r: f"{r['split']}, {r['selection']}"),
        ("Images", lambda r: f"{r['samples']:,}"),
        ("Shots per circuit", sampling),
        ("Computed by", lambda r: r.get("method")),
        ("Note", lambda r: r.get("note")),
        ("Not known", lambda r: r.get("unknown")),
        ("Depth", lambda r: r.get("depth")),
        ("Two-qubit gates", _two_qubit_gates),
        ("Device qubits", lambda r: r.get("layout")),
        ("Calibration of", lambda r: r.get("calibrated")),
        ("Jobs", lambda r: r.get("job_ids")),
        ("Seconds", lambda r: f"{r['seconds']:.1f}" if r.get("seconds") is not None else None),
        ("Quantum seconds", lambda r: f"{r['quantum_seconds']:.1f}" if r.get("quantum_seconds") else None),
        ("Copies on the chip", lambda r: r["hardware"]["copies"] if r.get("hardware") else None),
        ("Asked of the service", lambda r: _asked(r["options"]) if r.get("hardware") else None),
        ("Answered by", lambda r: r["hardware"]["service"] if r.get("hardware") else None),
        ("Finished", lambda r: r.get("finished")),
    ]
    filled = [(title, [_cell(of(e.record)) for e in evaluations]) for title, of in rows]
    return [(title, cells) for title, cells in filled if any(cells)]


def as_json(content: Any) -> str:
    """Indented JSON for reading."""
    return json.dumps(content, indent=2, ensure_ascii=False)


def _history(run: RunFolder) -> pd.DataFrame | None:
    return pd.read_csv(run.history) if run.history.is_file() else None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(part) for part in value)
    return moment(str(value))


def _two_qubit_gates(record: dict[str, Any]) -> Any:
    """Of the circuit; of the shortest and the longest copy where several ran at once."""
    copies = [copy["two_qubit_gates"] for copy in record.get("copies", [])]
    if len(copies) < 2:
        return record.get("two_qubit_gates")
    low, high = min(copies), max(copies)
    return f"{low if low == high else f'{low} to {high}'} in each of {len(copies)} copies"


def _asked(options: dict[str, Any]) -> str:
    """The options that were given, without those that were left to the service."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items() if value is not None)
