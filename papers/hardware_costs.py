"""Print the table of docs/hardware.md: what evaluations take on IBM Kingston by its stored calibration.

    python -m papers.hardware_costs

Needs no account and sends nothing. The circuit is the default of a configuration: 4 qubits, 2 layers, 4,096 shots.
"""

from __future__ import annotations

from backends.devices import stored_device
from backends.hardware_options import HardwareOptions
from backends.ibm.arrangement import arrange, references_for
from backends.ibm.copies import place_copies
from backends.ibm.plan import make_plan
from backends.ibm.repetition import stored_rep_delay
from hybridq.quantum.circuits import CircuitSpec

DEVICE = "kingston"
RUNS: list[tuple[int, int | None, HardwareOptions]] = [
    (20, None, HardwareOptions()),
    (200, None, HardwareOptions(resilience=0)),
    (200, None, HardwareOptions()),
    (200, None, HardwareOptions(resilience=2)),
    (200, 1, HardwareOptions()),
    (3402, None, HardwareOptions(resilience=0)),
    (3402, None, HardwareOptions()),
    (3402, None, HardwareOptions(rep_delay_us=50)),
    (3402, None, HardwareOptions(resilience=2)),
    (3402, 1, HardwareOptions()),
]
"""Images, copies (None: as many as there are good patches), options."""


def main() -> None:
    """Print one line for each of :data:`RUNS`, as Markdown."""
    device, program, delay = stored_device(DEVICE), CircuitSpec(4, 2).build(), stored_rep_delay(DEVICE)
    columns = ("images", "copies, references", "resilience", "delay, µs", "jobs", "executions")
    print("| " + " | ".join((*columns, "formula, s", "quick rule, s", "download, MB")) + " |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for images, copies, options in RUNS:
        compiled = place_copies(program, device, copies="auto" if copies is None else copies, samples=images)
        placed = len(compiled.copies)
        references = references_for(images, placed)
        plan = make_plan(compiled, arrange(images, placed, references=references), options, rep_delay=delay)
        cells = (
            *(f"{images:,}", f"{placed}, {plan.references}", options.resilience),
            *(f"{plan.workload.rep_delay_seconds * 1e6:g}", plan.jobs, f"{plan.executions:,}"),
            *(f"{plan.quantum_seconds:,.0f}", f"{plan.quick_seconds:,.0f}", f"{plan.download_bytes / 1e6:,.1f}"),
        )
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
