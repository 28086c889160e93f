"""hybridq compare"""

from __future__ import annotations

from typing import Annotated

import typer

from hybridq.cli.options import Limit, MaxQuantumSeconds, RunFolder, Split, Stratified, Submission, Yes


def compare(
    run: RunFolder,
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
    max_quantum_seconds: MaxQuantumSeconds = None,
    yes: Yes = False,
) -> None:
    """Compare the same weights on the same images on several backends; missing evaluations are run."""
    from backends.names import parse_name

    for name in backend:
        parse_name(name)
    from hybridq.cli.console import announce
    from hybridq.cli.evaluate import evaluate_on
    from hybridq.cli.tables import comparison_tables
    from hybridq.evaluation.compare import compare_evaluations, write_comparison
    from hybridq.runs import open_run

    opened = open_run(run)
    folders = []
    for name in dict.fromkeys(backend if len(backend) > 1 else [*backend, *companions(backend[0])]):
        is_hardware = parse_name(name).kind == "ibm"
        submission = Submission(yes=yes, max_quantum_seconds=max_quantum_seconds) if is_hardware else None
        folder = evaluate_on(opened, name, split=split, limit=limit, stratified=stratified, submission=submission)
        if folder is None:
            return
        folders.append(folder)
    comparison = compare_evaluations(folders)
    write_comparison(comparison, opened.folder)
    comparison_tables(comparison)
    announce(f"written: {opened.folder / 'comparison.csv'}")


def companions(name: str) -> list[str]:
    """What an IBM device is to be judged by; nothing for other backends.

    >>> companions("ibm_torino:shots=1024,resilience=0")
    ['aer', 'aer:shots=1024', 'fake_torino', 'ibm_torino@noise']
    """
    from backends.ibm.options import HardwareOptions
    from backends.names import parse_name, stored_devices

    parsed = parse_name(name)
    if parsed.kind != "ibm":
        return []
    device = str(parsed.device)
    stored = device.replace("ibm_", "fake_", 1)
    options = parsed.options or HardwareOptions()
    found = ["aer", f"aer:shots={options.circuit_shots}"]
    return [*found, *([stored] if stored in stored_devices() else []), f"{device}@noise"]
