"""hybridq backends"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridq.cli.options import AsJson
from hybridq.errors import UserError

if TYPE_CHECKING:
    from backends.devices import Device
    from backends.ibm.circuit import HardwareCircuit
    from backends.ibm.repetition import RepDelay

app = typer.Typer(help="Where circuits can run, and what it would cost there.", no_args_is_help=True)

SIMULATED = (
    ("aer", "noiseless, exact"),
    ("aer:shots=N", "noiseless, sampled"),
    ("noise:RATE=…", "a noise model of your own"),
    ("fake_DEVICE", "the stored calibration of a device"),
    ("ibm_DEVICE@noise", "the calibration of this moment, simulated here"),
)


@dataclass(frozen=True)
class _Seen:
    """A device of the account."""

    name: str
    qubits: int
    queue: int
    operational: bool
    two_qubit_error: float | None
    readout_error: float | None
    calibrated: str | None


@app.command("list")
def list_backends(as_json: AsJson = False) -> None:
    """Simulated backends, and the devices that the IBM account sees, with queue and median errors."""
    from backends.errors import BackendError
    from backends.names import NOT_CALIBRATED, stored_devices
    from hybridq.cli.console import announce, print_json, working

    seen: list[_Seen] = []
    problem = None
    with working("asking IBM"):
        try:
            seen = _account_devices()
        except BackendError as error:
            problem = str(error)
    stored = list(stored_devices())
    if as_json:
        print_json(
            {
                "simulated": [{"name": name, "what": what} for name, what in SIMULATED],
                "stored_calibrations": stored,
                "left_out": NOT_CALIBRATED,
                "devices": [vars(device) for device in seen],
                "problem": problem,
            }
        )
        return
    _print_simulated(stored, NOT_CALIBRATED)
    if problem is not None:
        announce(f"No devices: {problem}")
    else:
        _print_devices(seen)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="ibm_kingston, fake_kingston, or with options as in evaluate.")
    ],
    run: Annotated[Path | None, typer.Option(help="Folder of a finished run: place its circuit.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Images to estimate the cost for.")] = 200,
    as_json: AsJson = False,
) -> None:
    """One device: calibration, and where a run's circuit would be placed and what N images would cost.

    A stored calibration (fake_…) needs no account.
    """
    from backends.names import parse_name
    from hybridq.cli.console import print_json, working

    parsed = parse_name(name)
    if parsed.kind not in {"ibm", "fake"}:
        raise UserError(f"{name} is no device; name one as ibm_kingston or fake_kingston")
    quota, queue = None, None
    if parsed.kind == "fake":
        with working("loading qiskit"):
            from backends.devices import stored_device
            from backends.ibm.repetition import stored_rep_delay

            device, delay = stored_device(str(parsed.device)), stored_rep_delay(str(parsed.device))
    else:
        with working(f"asking IBM for {parsed.device}"):
            device, delay, quota, queue = _live(str(parsed.device))
    about = _about(device, queue)
    if run is None:
        print_json(about) if as_json else _print_about(parsed.canonical, about)
        return
    from hybridq.run_folder import open_run

    opened = open_run(run)
    with working(f"placing the circuit on {device.name}"):
        from backends.hardware_options import HardwareOptions
        from backends.ibm.arrangement import arrange, references_for
        from backends.ibm.copies import place_copies
        from backends.ibm.layers import layers_of
        from backends.ibm.plan import make_plan
        from backends.ibm.prepare import copies_of
        from hybridq.evaluation.hardware_plan import complete_name
        from hybridq.evaluation.inference import circuit_of

        _, colon, options = parsed.canonical.partition(":")
        full = complete_name(opened, f"ibm_{device.name.removeprefix('ibm_')}{colon}{options}")
        seed = opened.experiment.seed if full.seed is None else full.seed
        asked = full.options or HardwareOptions()
        delay.chosen(asked.rep_delay_us, device.name)
        if asked.fractional and parsed.kind == "fake":
            raise UserError(f"{name}: the stored calibration is used without fractional gates; ask for ibm_… instead")
        if asked.fractional:
            device = _live(str(parsed.device), fractional=True)[0]
        shared = None if full.references == "auto" else full.references
        compiled: HardwareCircuit = place_copies(
            circuit_of(opened), device, copies=copies_of(full), seed=seed, samples=images, references=shared
        )
        shared = references_for(images, len(compiled.copies)) if shared is None else shared
        plan = make_plan(
            compiled,
            arrange(images, len(compiled.copies), references=shared, seed=seed),
            asked,
            rep_delay=delay,
            seconds_per_circuit=opened.experiment.hardware.seconds_per_circuit,
            price_per_second=opened.experiment.hardware.price_per_second,
            quota_seconds=quota,
            layers=layers_of(compiled.circuit, asked) if asked.injects_noise else None,
        )
    if as_json:
        patches = [patch.record() for patch in compiled.copies]
        print_json(about | {"patches": patches, "plan": plan.as_dict()})
        return
    from hybridq.cli.tables import patches_table, plan_table

    _print_about(parsed.canonical, about)
    patches_table(compiled.copies)
    plan_table(f"{images:,} images of {opened.folder.name}", plan, compiled.copies, f"{images:,}")


def _account_devices() -> list[_Seen]:
    from backends.ibm.client import Service

    service = Service()
    found = []
    for name, (qubits, queue, operational) in sorted(service.devices().items()):
        device = service.calibrated(name)
        errors = list(device.edges.values())
        found.append(
            _Seen(
                name=name,
                qubits=qubits,
                queue=queue,
                operational=operational,
                two_qubit_error=median(errors) if errors else None,
                readout_error=median(device.readout_error(q) for q in range(qubits)) if qubits else None,
                calibrated=device.calibrated,
            )
        )
    return found


def _live(name: str, *, fractional: bool = False) -> tuple[Device, RepDelay, float | None, int]:
    """A device as its service describes it now, its delay between executions, the remaining quota, and its queue."""
    from backends.ibm.client import Service

    service = Service()
    device, delay = service.calibrated(name, fractional=fractional), service.rep_delay(name)
    return device, delay, service.remaining_seconds(), service.queue(name)


def _about(device: Device, queue: int | None) -> dict[str, Any]:
    """What the calibration says of a whole device, JSON-ready."""
    from backends.devices import UNUSABLE_ERROR

    readout = [device.readout_error(qubit) for qubit in range(device.num_qubits)]
    pairs = list(device.edges.values())
    return {
        "device": device.name,
        "qubits": device.num_qubits,
        "unusable_qubits": [qubit for qubit, error in enumerate(readout) if error >= UNUSABLE_ERROR],
        "couplings": len(pairs),
        "entangler": device.entangler,
        "median_readout_error": median(readout),
        "median_two_qubit_error": median(pairs) if pairs else None,
        "calibrated": device.calibrated,
        "queue": queue,
    }


def _print_simulated(stored: list[str], left_out: dict[str, str]) -> None:
    from rich import box
    from rich.table import Table

    from hybridq.cli.console import console

    table = Table("backend", "what runs", box=box.SIMPLE_HEAD, pad_edge=False, title="Simulated", title_justify="left")
    for name, what in SIMULATED:
        table.add_row(name, what)
    console.print(table)
    names = ", ".join(name.removeprefix("fake_") for name in stored)
    console.print(f"Stored calibrations (fake_…): {names}", soft_wrap=False)
    for name, reason in left_out.items():
        console.print(f"Left out: {name}: {reason}", soft_wrap=False)
    console.print()


def _print_devices(seen: list[_Seen]) -> None:
    from rich import box
    from rich.table import Column, Table

    from hybridq.cli.console import announce, console

    if not seen:
        announce("The IBM account has no devices.")
        return
    columns = [Column(n, justify="right") for n in ("qubits", "queue", "two-qubit", "readout")]
    table = Table("device", *columns, "calibrated", box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "Devices of the IBM account (median errors of gates and readout)"
    for d in seen:
        table.add_row(
            d.name + ("" if d.operational else " (paused)"),
            str(d.qubits),
            str(d.queue),
            "–" if d.two_qubit_error is None else f"{d.two_qubit_error:.4f}",
            "–" if d.readout_error is None else f"{d.readout_error:.4f}",
            "–" if d.calibrated is None else d.calibrated[:10],
        )
    console.print(table)


def _print_about(name: str, about: dict[str, Any]) -> None:
    from hybridq.cli.console import announce

    errors = "" if about["median_two_qubit_error"] is None else f", {about['median_two_qubit_error']:.4f} two-qubit"
    announce(f"{name}: {about['qubits']} qubits, {about['couplings']} couplings ({about['entangler']})")
    announce(f"median error: {about['median_readout_error']:.4f} readout{errors}")
    announce(f"calibrated {about['calibrated']}")
    if about["unusable_qubits"]:
        announce(f"qubits out of use: {', '.join(map(str, about['unusable_qubits']))}")
    if about["queue"] is not None:
        announce(f"{about['queue']} jobs in the queue")
