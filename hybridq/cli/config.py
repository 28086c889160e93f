"""hybridq config keys | schema"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from hybridq.config import Section
    from hybridq.config_schema import Key

app = typer.Typer(help="Configurations: every key, and a schema for editors.", no_args_is_help=True)

Kind = Annotated[
    Literal["experiment", "study", "noise"],
    typer.Option("--of", help="Whose keys: an experiment's, a study's, or a noise study's."),
]


@app.command()
def keys(
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="Beginning of the keys, such as train or model.ro.")
    ] = "",
    of: Kind = "experiment",
) -> None:
    """List the keys of a configuration with default, allowed values and a sentence each."""
    from hybridq.config_schema import list_keys

    for key in list_keys(_root(of), prefix):
        _print(key)


@app.command()
def schema(of: Kind = "experiment") -> None:
    """Print the JSON schema, by which an editor completes and checks a configuration."""
    from hybridq.cli.console import print_json
    from hybridq.config_schema import json_schema

    print_json(json_schema(_root(of)))


def _root(of: str) -> type[Section]:
    if of == "study":
        from hybridq.studies.models.config import Study

        return Study
    if of == "noise":
        from hybridq.studies.noise.config import NoiseStudy

        return NoiseStudy
    from hybridq.config import Experiment

    return Experiment


def _print(key: Key) -> None:
    from rich.text import Text

    from hybridq.cli.console import console

    value = "  (must be given)" if key.required else f" = {key.default}" if key.default else ""
    console.print(Text(key.name, style="bold") + Text(value))
    also = f" ({key.also})" if key.also else ""
    said = Text(f"{key.allowed}{also}. {key.sentence}".replace(":. ", ": "))
    for line in said.wrap(console, max(40, console.width - 4)) if console.is_terminal else [said]:
        console.print(Text("    ") + line, soft_wrap=True)
