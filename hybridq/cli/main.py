"""The command ``hybridq``: one thin module per subcommand; what a subcommand needs is imported when it runs."""

from __future__ import annotations

import errno
import logging
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from backends.errors import BackendError
from hybridq.cli import (
    backends,
    compare,
    config,
    data,
    evaluate,
    export,
    init,
    jobs,
    predict,
    quickstart,
    report,
    study,
    train,
)
from hybridq.cli.verbosity import choose, to_the_front
from hybridq.errors import UserError, printable
from hybridq.files import KEPT, is_full

logger = logging.getLogger(__name__)

app = typer.Typer(
    name="hybridq",
    help="Train hybrid quantum-classical medical image classifiers on a simulator and evaluate the same weights on "
    "noiseless, noisy and IBM hardware backends. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    quickstart.quickstart,
    init.init,
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
app.add_typer(config.app, name="config")
app.add_typer(jobs.app, name="jobs")
app.add_typer(backends.app, name="backends")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"hybridq {version('hybridq-medical')}")
        except PackageNotFoundError:
            print("hybridq, not installed as a package")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log what is done, on standard error; anywhere in the line.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Show results and warnings alone; anywhere in the line.")
    ] = False,
) -> None:
    if quiet and verbose:
        raise UserError("-q and -v: give one of them")
    choose(quiet=quiet, verbose=verbose)


def main() -> None:
    """Run the command line; a mistake of the user's and a full disk end in one sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # letters that it has no code for are shown as "?"
            stream.reconfigure(errors="replace")
    try:
        app(to_the_front(sys.argv[1:]))
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        logger.debug("ended by", exc_info=True)
        print(f"hybridq: {sentence}", file=sys.stderr)
        sys.exit(2)


def _sentence(error: Exception) -> str | None:
    """What is said of an error that is no fault of this program's; None of one that is."""
    if isinstance(error, (UserError, BackendError)):
        return str(error)
    place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    if is_full(error):
        return printable(f"{place}no room is left on the disk; {KEPT}")
    if place and isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return printable(f"{place}{(error.strerror or 'may not be used').lower()}")
    return None
