"""What a report says, gathered from the files of a run; how it looks is the template's matter."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from hybridq.evaluation.compare import (
    ComparedBackend,
    Comparison,
    ErrorParts,
    compare,
    device_sentences,
    root,
)
from hybridq.evaluation.saved import SavedEvaluation, read_evaluations, sampling
from hybridq.evaluation.statistics import NO_DIFFERENCE, Interval, signed
from hybridq.reports import figures
from hybridq.reports.representation import Representation, representation
from hybridq.reports.style import colour, css_name, inline_svg
from hybridq.reports.tasks import View, view_of
from hybridq.runs import Run

CLASSICAL_SHARE = 0.01
"""A quantum share below this makes the model classical for every practical purpose."""


@dataclass(frozen=True)
class Drawn:
    """A figure of the page: an ``<svg>`` element and the sentence under it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Results:
    """Evaluations of one set of samples."""

    title: str
    note: str
    evaluations: list[SavedEvaluation]
    colours: list[str]
    comparison: Comparison | None
    """None where only one backend was evaluated."""
    overview: list[Drawn]
    details: list[Drawn]
    """Confusion matrices, or figures by label."""
    scatters: list[Drawn]
    devices: list[Device]
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


def view(run: Run) -> View:
    """How the run's task is shown."""
    return view_of(run.task(), run.classes())


def results(run: Run) -> list[Results]:
    """The evaluations of the run, those of the same samples together: the run's own data first, its largest set."""
    together: dict[tuple[str | None, frozenset[str]], list[SavedEvaluation]] = {}
    for evaluation in read_evaluations(run.folder):
        together.setdefault((evaluation.source, frozenset(evaluation.ids)), []).append(evaluation)
    sets = sorted(map(_latest, together.values()), key=lambda found: (found[0].source or "", -len(found[0].ids)))
    seed = run.experiment().seed
    classes, shown = run.classes(), view(run)
    return [_results(evaluations, classes, shown, f"set{number}", seed) for number, evaluations in enumerate(sets)]


def _latest(evaluations: Sequence[SavedEvaluation]) -> list[SavedEvaluation]:
    """Of evaluations of one name (calibrations of two days, say) the one that finished last, in the order given."""
    last = {e.backend: e for e in sorted(evaluations, key=lambda e: str(e.record.get("finished", "")))}
    return [e for e in evaluations if last[e.backend] is e]


def _devices(evaluations: Sequence[SavedEvaluation], comparison: Comparison | None) -> list[Device]:
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


def _results(evaluations: list[SavedEvaluation], classes: Sequence[str], view: View, name: str, seed: int) -> Results:
    first = evaluations[0]
    split, selection = first.record["split"], first.record["selection"]
    comparison = compare(evaluations, seed=seed) if len(evaluations) > 1 else None
    backends = ", ".join(figures.backend_label(e) for e in evaluations)

    def drawn(figure: Figure, kind: str, caption: str, alt: str) -> Drawn:
        return Drawn(Markup(inline_svg(figure, f"{name}-{kind}", alt)), caption)

    overview = [
        drawn(
            figures.metric_bars(evaluations),
            "bars",
            "The seven metrics with 95 % intervals.",
            f"Bar chart of the seven metrics with intervals on {backends}; the values are in the table above.",
        ),
        drawn(
            figures.roc(evaluations),
            "roc",
            f"ROC curves{view.curve}.",
            "ROC curves: "
            + "; ".join(f"{e.backend} AUC {e.metrics['metrics']['auc']['value']:.3f}" for e in evaluations),
        ),
        drawn(
            figures.radar(evaluations),
            "radar",
            "The seven metrics as a radar.",
            f"Radar chart of the seven metrics on {backends}; the values are in the table above.",
        ),
    ]
    details = [drawn(d.figure, d.kind, d.caption, d.alt) for d in view.details(evaluations, classes)]
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
        representation=representation(
            next((e for e in evaluations if e.intervention is None), first), classes, name, seed
        ),
    )


def training_figure(run: Run, training: dict[str, Any]) -> Drawn | None:
    """The training curves; None where no history was written."""
    history = _history(run)
    if history is None:
        return None
    drawing = figures.training_curves(history, int(training["best_epoch"]))
    alt = (
        "Training curves by epoch: contrastive loss, training and validation loss, validation AUC "
        f"(best {training['best_validation_auc']:.3f} in epoch {training['best_epoch']}), α, quantum share and the "
        "gradient norm of the circuit."
    )
    caption = "By epoch. The weights of the epoch with the best validation AUC are the ones evaluated."
    return Drawn(Markup(inline_svg(drawing, "training", alt)), caption)


def quantum_share(run: Run) -> float | None:
    """The last recorded share of the quantum branch in the fused features' variation; None where not recorded."""
    history = _history(run)
    if history is None or "quantum_share" not in history.columns:
        return None
    recorded = history["quantum_share"].dropna()
    return float(recorded.iloc[-1]) if len(recorded) else None


def circuit_image(run: Run) -> str | None:
    """circuit.png as a data URI; None where the run has no circuit."""
    path = run.folder / "circuit.png"
    if not path.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def optional(run: Run, name: str) -> Any:
    """The content of a JSON file of the run, or None where it was not written."""
    return run.read_json(name) if (run.folder / name).is_file() else None


def split_counts(run: Run, data: dict[str, Any]) -> list[dict[str, Any]]:
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


def summary(results: list[Results], view: View) -> list[str]:
    """What the largest set of samples shows, a sentence for each backend."""
    if not results:
        return ["This run has not been evaluated yet: hybridq evaluate RUN --backend aer."]
    largest = results[0]
    reference = largest.evaluations[0]
    if largest.comparison is not None:
        reference = next(e for e in largest.evaluations if e.backend == largest.comparison.reference)
    metrics = reference.metrics
    of_groups = f" in {metrics['groups']} groups" if metrics["groups"] else ""
    found = ", ".join(f"{title} {with_interval(metrics['metrics'][name])}" for name, title in view.lead)
    what = f"{reference.images}{of_groups}"
    sentences = [f"On {what}, {figures.backend_label(reference)}: {found}."]
    if largest.comparison is not None:
        sentences += [_change_sentence(backend, metrics["n"]) for backend in largest.comparison.others]
        sentences += [r.sentence for r in largest.comparison.replacements if r.by == "mean"]
    return sentences


def limits(results: list[Results], data: dict[str, Any], qubits: int | None) -> list[str]:
    """What the numbers of this report do not show."""
    said = [
        "This is research software, not a medical device: nothing here may decide about a patient.",
        "Whether the quantum layer helps: its controls (a classical layer of the same width, a circuit without "
        "entanglement, a frozen random circuit, α = 0) are not part of this run.",
        "How much the result depends on chance in training: this is one seed, and the intervals cover the choice of "
        "test images only.",
    ]
    if qubits is not None:
        said.append(f"A quantum advantage: {qubits} qubit{'' if qubits == 1 else 's'} can be simulated on a laptop.")
    evaluations = [e for result in results for e in result.evaluations]
    if any((e.record.get("hardware") or {}).get("copies", 1) > 1 for e in evaluations):
        said.append(
            "Crosstalk: several copies of the circuit ran on one chip at once, and no noise model here has any; what "
            "it adds is in the rest of the error of ⟨Z⟩, together with everything else that no calibration shows."
        )
    if any(e.kind in {"simulated device", "noise model"} for e in evaluations):
        said.append(
            "How real hardware would do: simulated devices use stored calibrations or simple noise models, which are "
            "milder than live devices (no drift, no crosstalk)."
        )
    if data["simulated"]:
        said.append("Anything about patients: the images are synthetic.")
    elif data["groups"] == "none":
        said.append(
            "That no patient is in two splits: the source does not say which images belong to one patient. Results "
            "may be too good, and intervals too narrow."
        )
    positives = [e.metrics["positives"] for e in evaluations if e.metrics["positives"] is not None]
    if positives and min(positives) < 50:
        said.append(f"Small differences in sensitivity: there are only {min(positives)} positive images.")
    labels = {label["label"]: label["positives"] for e in evaluations for label in e.metrics.get("labels", [])}
    rare = [f"{name} ({count})" for name, count in labels.items() if count < 50]
    if rare:
        said.append(f"Small differences in labels with fewer than 50 positive images: {', '.join(rare)}.")
    return said


def with_interval(interval: Interval) -> str:
    """Value and 95 % interval, three decimals."""
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def root_mean_square(square: float | None) -> str:
    """The root of a mean square, four decimals, with the sign of the square; a dash for None."""
    value = root(square)
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


def moment(iso: str) -> str:
    """An ISO time as a reader wants it, such as ``2026-01-05 10:00 UTC``; anything else as it is."""
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def record_rows(evaluations: Sequence[SavedEvaluation]) -> list[tuple[str, list[str]]]:
    """What ran where: title and a cell for each evaluation; rows that nothing fills are left out."""
    rows: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("What it is", lambda r: f"{r['kind']}{'' if r['simulated'] else ' (a real quantum device)'}"),
        ("Split", lambda r: f"{r['split']}, {r['selection']}"),
        ("Images", lambda r: f"{r['samples']:,}"),
        ("Shots per circuit", sampling),
        ("Computed by", lambda r: r.get("method")),
        ("Note", lambda r: r.get("note")),
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


def _history(run: Run) -> pd.DataFrame | None:
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


def _change_sentence(backend: ComparedBackend, samples: int) -> str:
    assert backend.changes is not None
    auc = backend.changes["auc"]
    verdicts = {figures.METRIC_TITLES[name]: backend.verdict(name) for name in backend.metrics}
    shown = [f"{title} is {verdict}" for title, verdict in verdicts.items() if verdict != NO_DIFFERENCE]
    verdict = ", ".join(shown) or f"{NO_DIFFERENCE} in any metric"
    return (
        f"{backend.backend} ({backend.kind}): {verdict} (AUC {signed(auc['value'])} [{signed(auc['low'])}, "
        f"{signed(auc['high'])}]); {backend.flipped} of {samples:,} decisions differ."
    )
