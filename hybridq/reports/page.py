"""One self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hybridq.figures.evaluations import METRIC_TITLES
from hybridq.figures.labels import undefined
from hybridq.figures.style import theme_css
from hybridq.files import write_text
from hybridq.reports import sentences as statements
from hybridq.reports.sections import results as content
from hybridq.reports.sections.decisions import COVERAGES_SHOWN
from hybridq.reports.sections.mitigation import mitigations
from hybridq.reports.sections.noise import noise_results
from hybridq.reports.sections.spectrum import spectrum_drawn
from hybridq.run_folder import open_run
from hybridq.statistics.intervals import NO_DIFFERENCE, signed, verdict_of
from hybridq.statistics.multilabel import OF_LABELS
from hybridq.statistics.operating_point import YOUDEN, Rule
from hybridq.statistics.tasks import task_named


def write_report(folder: Path, rule: Rule = YOUDEN) -> Path:
    """Write ``report.html`` into a finished run folder and return its path.

    Everything on the page comes from the files of the run, figures are part of it, and nothing is loaded from
    elsewhere. What has not been done yet (no evaluation, no circuit, no study) is left out. ``rule`` chooses the
    operating point. Raises :class:`UserError` when the folder is no finished run or a file is damaged.
    """
    run = open_run(folder)
    experiment = run.experiment
    data, model, training = (run.read_json(name) for name in ("data.json", "model.json", "training.json"))
    circuit = content.optional(run, "circuit.json")
    environment = content.optional(run, "environment.json")
    if environment is not None:
        environment.pop("directory", None)  # it may name a person, and a report is passed on
    view = content.view(run)
    results = content.results(run, rule)
    share = content.quantum_share(run)
    page = _environment().get_template("report.html.j2")
    text = page.render(
        run=experiment.name,
        experiment=experiment,
        config=run.config.read_text(encoding="utf-8"),
        data=data,
        leaks=data.get("leaks", []),
        split_rows=content.split_counts(run, data),
        model=model,
        training=training,
        chosen_by=content.chosen_by(experiment),
        training_figure=content.training_figure(run, training),
        circuit=circuit,
        circuit_image=content.circuit_image(run),
        environment=environment,
        warnings=content.optional(run, "warnings.json") or [],
        results=results,
        noise=noise_results(run),
        mitigated=mitigations(run),
        spectrum=spectrum_drawn(run),
        summary=statements.summary(results, view),
        view=view,
        positive=run.positive_sentence(),
        quantum_share=share,
        classical=share is not None and share < content.CLASSICAL_SHARE,
        limits=statements.limits(results, data, circuit["qubits"] if circuit else None),
        metrics=[(name, METRIC_TITLES[name]) for name in task_named(run.task).metrics],
        label_metrics=[(name, METRIC_TITLES[name]) for name in OF_LABELS],
        kept=COVERAGES_SHOWN,
        theme=Markup(theme_css()),
    )
    path = run.folder / "report.html"
    write_text(path, text)
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hybridq.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = lambda name: escape(name).replace(",", Markup(",<wbr>"))
    environment.filters["signed"] = signed
    environment.filters["verdict"] = verdict_of
    environment.filters["why_undefined"] = undefined
    environment.filters["root"] = content.root_mean_square
    environment.filters["moment"] = content.moment
    environment.filters["pretty_json"] = content.as_json
    environment.globals["no_difference"] = NO_DIFFERENCE
    environment.globals["record_rows"] = content.record_rows
    return environment
