"""Our options in the words of IBM's client: the only place where they are translated."""

from __future__ import annotations

from qiskit_ibm_runtime.options_models import EstimatorOptions, NoiseLearnerV3Options

from backends.hardware_options import HardwareOptions


def estimator_options(options: HardwareOptions, tags: list[str], max_execution_seconds: int) -> EstimatorOptions:
    """Options of IBM's current estimator; noise that was learned is not among them."""
    theirs = EstimatorOptions(
        default_shots=options.circuit_shots,
        resilience_level=options.resilience,
        max_execution_time=max_execution_seconds,
    )
    theirs.environment.job_tags = tags
    theirs.resilience.measure_mitigation = options.measure_mitigation
    if options.twirl_gates is not None:
        theirs.twirling.enable_gates = options.twirl_gates
    if options.twirl_measure is not None:
        theirs.twirling.enable_measure = options.twirl_measure
    if options.twirls > 1:
        theirs.twirling.num_randomizations = options.twirls
        theirs.twirling.shots_per_randomization = options.circuit_shots // options.twirls
    if options.twirl_strategy is not None:
        theirs.twirling.strategy = options.twirl_strategy
    if options.zne_factors is not None:
        theirs.resilience.zne.noise_factors = options.zne_factors
    if options.zne_extrapolator is not None:
        theirs.resilience.zne.extrapolator = options.zne_extrapolator
    if options.zne_amplifier is not None:
        theirs.resilience.zne.amplifier = options.zne_amplifier
    if options.pec:
        theirs.resilience.pec_mitigation = True
        theirs.resilience.pec.max_overhead = options.most_overhead
    if options.rep_delay_us is not None:
        theirs.execution.rep_delay = options.rep_delay_us * 1e-6
    if options.dynamical_decoupling is not None:
        theirs.dynamical_decoupling.enable = True
        theirs.dynamical_decoupling.sequence_type = options.dynamical_decoupling
    if options.dd_schedule is not None:
        theirs.dynamical_decoupling.scheduling_method = options.dd_schedule
    return theirs


def learner_options(options: HardwareOptions, tags: list[str], max_execution_seconds: int) -> NoiseLearnerV3Options:
    """Options of IBM's noise learner."""
    randomizations, shots, depths = options.learning
    theirs = NoiseLearnerV3Options(
        num_randomizations=randomizations,
        shots_per_randomization=shots,
        layer_pair_depths=list(depths),
        max_execution_time=max_execution_seconds,
    )
    theirs.environment.job_tags = tags
    if options.rep_delay_us is not None:
        theirs.execution.rep_delay = options.rep_delay_us * 1e-6
    return theirs
