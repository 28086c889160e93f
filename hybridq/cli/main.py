"""The command ``hybridq``: one thin module per subcommand; what a subcommand needs is imported when it runs."""

from __future__ import annotations

import sys

import typer

from backends.errors import BackendError
from hybridq.cli import backends, compare, data, evaluate, export, jobs, predict, quickstart, report, study, train
from hybridq.errors import UserError

app = typer.Typer(
    name="hybridq",
    help="Train hybrid quantum-classical medical image classifiers on a simulator and evaluate the same weights on "
    "noiseless, noisy and IBM hardware backends. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    quickstart.quickstart,
    train.train,
    evaluate.evaluate,
    compare.compare,
    report.report,
    predict.predict,
    export.export,
):
    app.command()(command)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")
app.add_typer(jobs.app, name="jobs")
app.add_typer(backends.app, name="backends")


def main() -> None:
    """Run the command line; a mistake of the user's ends in one sentence and exit code 2."""
    try:
        app()
    except (UserError, BackendError) as error:
        print(f"hybridq: {error}", file=sys.stderr)
        sys.exit(2)
