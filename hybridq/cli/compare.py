"""hybridq compare"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.options import (
    HARDWARE,
    Limit,
    MaxQuantumSeconds,
    RunArgument,
    Split,
    Stratified,
    SubmissionOptions,
    ThresholdRule,
    Yes,
)
from hybridq.errors import UserError

if TYPE_CHECKING:
    from hybridq.run_folder import RunFolder


def compare(
    run: RunArgument,
    backend: Annotated[
        list[str],
        typer.Option(
            help="A backend to compare; give it twice or more. One IBM device alone is put beside what it is to be "
            "judged by: aer, aer with its shots, its stored calibration, and its calibration of this moment."
        ),
    ],
    split: Split = "test",
    limit: Limit = None,
    stratified: Stratified = False,
    replace_q: Annotated[
        list[str] | None,
        typer.Option(
            metavar="mean|shuffle",
            help="Add what is decided with the circuit's values replaced, as evaluate --replace-q does; may be given "
            "twice.",
        ),
    ] = None,
    threshold: ThresholdRule = None,
    max_quantum_seconds: MaxQuantumSeconds = None,
    repeat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="Put a repetition (evaluate --repeat LABEL) beside the first one.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Compare the same weights on the same images on several backends; missing evaluations are run.

    With --threshold also at the operating point. What studies of noise and mitigation found on these backends is shown
    below.
    """
    from backends.names import parse_name

    if repeat and not any(parse_name(name).kind == "ibm" for name in backend):
        raise UserError(f"--repeat is for IBM hardware (ibm_…), and none of {', '.join(backend)} is")
    for name in backend:
        parse_name(name)
    from hybridq.statistics.operating_point import parse_rule

    rule = None if threshold is None else parse_rule(threshold)
    if rule is not None and split == "validation":
        raise UserError("--threshold chooses on validation images, which then judge nothing; compare another --split")
    from hybridq.cli.console import announce, working
    from hybridq.cli.evaluate import Evaluations
    from hybridq.cli.operating_point import compare_at_threshold, evaluate_validation
    from hybridq.cli.study_sections import study_sections
    from hybridq.cli.tables import announce_positive, comparison_tables
    from hybridq.files import check_folder
    from hybridq.results.comparison import compare_evaluations, write_comparison
    from hybridq.results.selection import ImageChoice
    from hybridq.run_folder import open_run

    opened = open_run(run)
    check_folder(opened.folder)
    names = list(dict.fromkeys(backend if len(backend) > 1 else [*backend, *companions(opened, backend[0])]))
    if len(names) == 1 and not (repeat or replace_q):
        raise UserError(f"a comparison needs another --backend beside {names[0]}")
    if rule is not None:
        evaluate_validation(opened, asked=True)
    evaluations = Evaluations(opened, ImageChoice(split, limit, stratified))
    folders = []
    for name in names:
        is_hardware = parse_name(name).kind == "ibm"
        for label in [None, *(repeat or [])] if is_hardware else [None]:
            submission = SubmissionOptions(yes=yes, max_quantum_seconds=max_quantum_seconds, repeat=label)
            folder = evaluations.on(name, submission=submission if is_hardware else None)
            if folder is None:
                return
            folders.append(folder)
    for by in dict.fromkeys(replace_q or []):
        # q at its training mean is the same evaluation for every backend.
        simulated = [name for name in names if parse_name(name).kind != "ibm"]
        for name in ["aer"] if by == "mean" else simulated:
            found = evaluations.on(name, replace_q=by)
            assert found is not None
            folders.append(found)
    with working("comparing"):
        comparison = compare_evaluations(folders, seed=opened.experiment.seed)
    write_comparison(comparison, opened.folder)
    comparison_tables(comparison)
    announce_positive(opened)
    if rule is not None:
        compare_at_threshold(opened, folders, rule)
    study_sections(opened, names)
    for leak in opened.data_card.get("leaks", []):
        announce(f"the splits leak, results may be too good: {leak}")
    announce(f"written: {opened.folder / 'comparison.csv'}")


def companions(run: RunFolder, name: str) -> list[str]:
    """What an IBM device is to be judged by; nothing for other backends.

    For ``ibm_kingston:shots=1024``: ``aer``, ``aer:shots=1024``, ``fake_kingston``, ``ibm_kingston@noise``. Where it
    has a repetition delay of its own, the last two have it too; the stored one only within its range.
    """
    from backends.ibm.repetition import stored_rep_delay
    from backends.names import parse_name, stored_devices

    if parse_name(name).kind != "ibm":
        return []
    from hybridq.evaluation.hardware_plan import complete_name

    full = complete_name(run, name)
    assert full.options is not None
    device = str(full.device)
    stored = device.replace("ibm_", "fake_", 1)
    found = ["aer", f"aer:shots={full.options.circuit_shots}"]
    wait = full.options.rep_delay_us
    delay = "" if wait is None else f":rep_delay={wait:g}"
    if stored in stored_devices():
        takes_it = wait is not None and stored_rep_delay(stored.removeprefix("fake_")).takes(wait)
        found.append(f"{stored}{delay}" if takes_it else stored)
    return [*found, f"{device}@noise{delay}"]
