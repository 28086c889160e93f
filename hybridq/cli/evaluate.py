"""hybridq evaluate"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
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
    Yes,
    with_options,
)
from hybridq.errors import UserError

if TYPE_CHECKING:
    from hybridq.evaluation.inference import Inference
    from hybridq.results.selection import ImageChoice
    from hybridq.run_folder import RunFolder


def evaluate(
    run: RunArgument,
    backend: Annotated[
        str, typer.Option(help="Backend: aer, aer:shots=4096, fake_torino, noise:…, ibm_kingston, ibm_kingston@noise.")
    ] = "aer",
    split: Split = "test",
    limit: Limit = None,
    stratified: Stratified = False,
    replace_q: Annotated[
        str | None,
        typer.Option(
            metavar="mean|shuffle",
            help="Decide with the circuit's values replaced: by their mean over the training images, or shuffled over "
            "the images. Shows whether the decision uses them.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Test on another source with the same classes (another centre, say), as it is: nothing is trained.",
        ),
    ] = None,
    intensity_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="own",
            help="With --data: bring its images to their own range of intensities in place of the run's.",
        ),
    ] = None,
    shots: Annotated[int | None, typer.Option(help="Shots of every circuit; the same as shots= in the name.")] = None,
    resilience: Annotated[
        int | None,
        typer.Option(
            help="0: plain; 1: readout error mitigated (TREX), the default; 2: gate twirling and zero-noise "
            "extrapolation as well.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="Standard error of ⟨Z⟩ to aim at, instead of --shots.", rich_help_panel=HARDWARE),
    ] = None,
    copies: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="Copies of the circuit on the chip, each with another image; auto takes as many good patches as there "
            "are, 1 is one at a time.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    dd: Annotated[
        str | None,
        typer.Option("--dd", metavar="none|XX|XpXm|XY4", help="Dynamical decoupling.", rich_help_panel=HARDWARE),
    ] = None,
    twirl_gates: Annotated[
        bool | None, typer.Option(help="Twirl gates; else as the resilience level does.", rich_help_panel=HARDWARE)
    ] = None,
    twirl_measure: Annotated[
        bool | None,
        typer.Option(help="Twirl measurements; else as the resilience level does.", rich_help_panel=HARDWARE),
    ] = None,
    mitigation: Annotated[
        bool | None,
        typer.Option(help="Mitigate readout error; else as the resilience level does.", rich_help_panel=HARDWARE),
    ] = None,
    rep_delay: Annotated[
        float | None,
        typer.Option(
            metavar="MICROSECONDS",
            help="Pause between two executions, within the device's range (default: the device's); most of the cost.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="Images that run on every copy, by which patches are compared (default: up to four, none in small "
            "runs).",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    randomizations: Annotated[
        int | None,
        typer.Option(help="Randomizations of each circuit where anything is twirled (32).", rich_help_panel=HARDWARE),
    ] = None,
    twirl_strategy: Annotated[
        str | None,
        typer.Option(
            metavar="active|active-accum|active-circuit|all",
            help="Qubits that are twirled around each layer of gates.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    zne_factors: Annotated[
        str | None,
        typer.Option(
            metavar="1/3/5", help="Noise factors of the extrapolation at --resilience 2.", rich_help_panel=HARDWARE
        ),
    ] = None,
    zne_extrapolator: Annotated[
        str | None,
        typer.Option(
            metavar="exponential/linear",
            help="Extrapolators, tried in order, at --resilience 2.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    zne_amplifier: Annotated[
        str | None,
        typer.Option(
            metavar="gate_folding|…_front|…_back|pea",
            help="Which gates are folded at --resilience 2 where a factor folds only some; pea amplifies noise that is "
            "learned in a paid job of its own.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    dd_schedule: Annotated[
        str | None,
        typer.Option(
            metavar="alap|asap", help="When gates run where idle time is decoupled.", rich_help_panel=HARDWARE
        ),
    ] = None,
    fractional: Annotated[
        bool | None,
        typer.Option(
            help="Gates of any angle, where the device has them; not with twirled gates, nor with --dd.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    pec: Annotated[
        bool | None,
        typer.Option(
            help="Cancel noise that is learned in a paid job of its own, at --resilience 0 or 1.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    pec_overhead: Annotated[
        float | None,
        typer.Option(help="How many times its shots a circuit may take with --pec (10).", rich_help_panel=HARDWARE),
    ] = None,
    learn_randomizations: Annotated[
        int | None,
        typer.Option(
            help="Randomizations of each circuit that learns noise, with --pec or pea (32).", rich_help_panel=HARDWARE
        ),
    ] = None,
    learn_shots: Annotated[
        int | None, typer.Option(help="Shots of each of those (128).", rich_help_panel=HARDWARE)
    ] = None,
    learn_depths: Annotated[
        str | None,
        typer.Option(
            metavar="0/1/2/4/16/32",
            help="How often, in pairs, a layer is repeated while its noise is learned.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    noise_max_age: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            help="For how long noise that was learned is used before it is learned, and paid for, again (24).",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            metavar="AMOUNT", help="Price of a quantum second, shown beside the seconds.", rich_help_panel=HARDWARE
        ),
    ] = None,
    max_quantum_seconds: MaxQuantumSeconds = None,
    reference_chunk: Annotated[
        bool | None,
        typer.Option(
            help="Run the first job again at the end, to show drift; by default above three jobs.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    repeat: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="Ask the hardware again, as another evaluation.", rich_help_panel=HARDWARE),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop.", rich_help_panel=HARDWARE)
    ] = False,
    dry_run_at_service: Annotated[
        bool,
        typer.Option(
            "--dry-run-at-service",
            help="Post the first job to the device's mock twin at IBM, which checks it, runs nothing and charges "
            "nothing, and stop.",
            rich_help_panel=HARDWARE,
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when everything is submitted.", rich_help_panel=HARDWARE)
    ] = False,
    yes: Yes = False,
) -> None:
    """Evaluate the trained weights on a backend; on hardware the same command continues what was interrupted."""
    if intensity_range not in (None, "own"):
        raise UserError(f"--range {intensity_range}: allowed is own")
    name = with_options(
        backend,
        shots=shots,
        precision=precision,
        resilience=resilience,
        dd=dd,
        twirl_gates=twirl_gates,
        twirl_measure=twirl_measure,
        mitigation=mitigation,
        copies=copies,
        rep_delay=rep_delay,
        references=references,
        randomizations=randomizations,
        twirl_strategy=twirl_strategy,
        zne_factors=zne_factors,
        zne_extrapolator=zne_extrapolator,
        zne_amplifier=zne_amplifier,
        dd_schedule=dd_schedule,
        fractional=fractional,
        pec=pec,
        pec_overhead=pec_overhead,
        learn_randomizations=learn_randomizations,
        learn_shots=learn_shots,
        learn_depths=learn_depths,
    )
    submission = SubmissionOptions(
        *(yes, dry_run, detach, max_quantum_seconds, reference_chunk, repeat, price, dry_run_at_service),
        noise_max_age=noise_max_age,
    )
    from hybridq.cli.console import announce
    from hybridq.cli.tables import announce_positive, metrics_table
    from hybridq.results.selection import ImageChoice
    from hybridq.run_folder import open_run

    opened = open_run(run)
    choice = ImageChoice(split, limit, stratified, data, intensity_range == "own")
    folder = Evaluations(opened, choice).on(name, submission=submission, replace_q=replace_q)
    if folder is not None:
        metrics_table(folder)
        announce_positive(opened)
        announce(f"results: {folder}")


class Evaluations:
    """Evaluations of a run on the same images, on one backend after the other."""

    def __init__(self, run: RunFolder, choice: ImageChoice) -> None:
        self._run, self._choice = run, choice

    def on(
        self, backend: str, *, submission: SubmissionOptions | None = None, replace_q: str | None = None
    ) -> Path | None:
        """Run one with progress, or find it on disk; return its folder, or None where it was not to be finished."""
        from backends.names import parse_name

        submission = submission or SubmissionOptions()
        if parse_name(backend).kind == "ibm":
            others = (("--replace-q", replace_q), ("--data", self._choice.data))
            for option, given in (*others, ("--range own", self._choice.own_range or None)):
                if given is not None:
                    raise UserError(f"{option} is for simulated backends; {backend} is hardware")
            from hybridq.cli.submit import evaluate_on_hardware

            return evaluate_on_hardware(self._run, backend, self._choice, submission)
        if submission.given():
            raise UserError(f"{submission.given()[0]} is for IBM hardware (ibm_…); {backend} is simulated here")
        from hybridq.cli.console import bars, narrate, working

        with working("loading torch and qiskit"):
            from hybridq.evaluation.evaluate import evaluate as run_evaluation
            from hybridq.evaluation.evaluate import plan_evaluation
        plan = plan_evaluation(self._inference, backend, replace_q=replace_q)
        if plan.finished:
            narrate(f"{plan.label}: on disk already ({plan.folder})")
            return plan.folder
        with bars() as progress:
            return run_evaluation(plan, progress=progress)

    @cached_property
    def _inference(self) -> Inference:
        from hybridq.evaluation.inference import Inference

        return Inference.of(self._run, self._choice)
