"""The plan against the client's own preparation, a server that counts, and its own promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Loopback
from programs import random_angles, random_program
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_estimator.prepare import prepare
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_to_2_0
from test_hardware_copies import device_values, ring

from backends import BackendError
from backends.devices import stored_device
from backends.hardware_options import HardwareOptions
from backends.ibm.arrangement import arrange, references_for, rows_needed
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.client import Service, estimator_options
from backends.ibm.copies import place_copies
from backends.ibm.plan import (
    MAX_EXECUTIONS,
    MAX_JOB_SECONDS,
    MAX_RESULT_BYTES,
    Plan,
    Workload,
    make_plan,
)
from backends.ibm.repetition import RepDelay, stored_rep_delay


@cache
def placed(qubits: int, copies: int, device: str = "kingston") -> HardwareCircuit:
    return place_copies(ring(qubits, 2), stored_device(device), copies=copies)


def pub_of(compiled: HardwareCircuit, samples: int, references: int = 1) -> EstimatorPub:
    arrangement = arrange(samples, len(compiled.copies), references=references)
    values = arrangement.values(compiled, *random_angles(compiled.program, 0, samples))
    return EstimatorPub.coerce((compiled.circuit, [[o] for o in compiled.observables], values))


def counted(pub: EstimatorPub, options: HardwareOptions) -> tuple[int, int, int]:
    """Circuits, executions and bytes of the request that the client prepares for a PUB."""
    program, executor = prepare([pub], estimator_options(options, [], 60))
    circuits = sum(item.size() for item in program.items)
    request = quantum_program_to_2_0(program, executor).model_dump_json()
    return circuits, circuits * program.shots, len(request)


# Against the client


@pytest.mark.parametrize(
    ("resilience", "circuits", "executions"), [(0, 8, 32_768), (1, 288, 36_864), (2, 800, 102_400)]
)
def test_eight_samples_on_four_qubits_take_what_the_client_prepares(
    resilience: int, circuits: int, executions: int
) -> None:
    compiled, options = placed(4, 1), HardwareOptions(resilience=resilience)
    plan = make_plan(compiled, arrange(8, 1), options)
    assert (plan.circuits, plan.executions) == (circuits, executions) == counted(pub_of(compiled, 8), options)[:2]
    assert (plan.jobs, plan.pubs, plan.shots) == (1, 1, 4096)


BASES = (SparsePauliOp("XX"), SparsePauliOp(["ZZ", "IY"], [1.0, 0.5]))


@pytest.mark.parametrize(
    "options",
    [
        HardwareOptions(shots=640),
        HardwareOptions(shots=100, resilience=0),
        HardwareOptions(precision=0.03),
        HardwareOptions(shots=64, twirl_gates=True),
        HardwareOptions(shots=64, measure_mitigation=False),
        HardwareOptions(shots=64, resilience=0, twirl_measure=True),
        HardwareOptions(shots=64, resilience=0, measure_mitigation=True),
        HardwareOptions(shots=64, resilience=2, twirl_gates=False, measure_mitigation=False),
        HardwareOptions(shots=64, resilience=2),
        HardwareOptions(shots=64, randomizations=8),
        HardwareOptions(
            shots=64, resilience=2, randomizations=16, zne_factors=(1.0, 2.0), zne_extrapolator=("linear",)
        ),
    ],
    ids=lambda options: ",".join(f"{k}={v}" for k, v in options.as_dict().items() if v is not None),
)
@pytest.mark.parametrize("several", [False, True], ids=["one basis", "several bases"])
def test_circuits_executions_and_request_of_copies_are_those_the_client_prepares(
    options: HardwareOptions, several: bool
) -> None:
    compiled = in_bases(several)
    plan = make_plan(compiled, arrange(10, 3, references=1), options)
    circuits, executions, request = counted(pub_of(compiled, 10), options)
    assert (plan.circuits, plan.executions) == (circuits, executions)
    assert 0.7 < plan.upload_bytes / request < 1.4


@cache
def in_bases(several: bool) -> HardwareCircuit:
    program = random_program(9, 2, gates=8, observables=BASES if several else None)
    return place_copies(program, stored_device("kingston"), copies=3)


@pytest.mark.slow
@pytest.mark.parametrize("resilience", [0, 1, 2])
@pytest.mark.parametrize(("qubits", "copies", "samples"), [(4, 20, 400), (8, 4, 40), (4, 1, 60)])
def test_the_request_is_about_as_large_as_planned(resilience: int, qubits: int, copies: int, samples: int) -> None:
    compiled, options = placed(qubits, copies), HardwareOptions(resilience=resilience)
    plan = make_plan(compiled, arrange(samples, copies, references=1), options)
    assert 0.7 < plan.upload_bytes / counted(pub_of(compiled, samples), options)[2] < 1.4


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback("torino", key="loopback-key-of-the-plan", seed=5) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.parametrize("resilience", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_server_counts_what_was_planned_and_every_sample_comes_back_from_its_patch(
    service: Loopback, resilience: int
) -> None:
    """Four copies on one chip through IBM's unmodified client."""
    program, device, options = ring(3, 1), stored_device("torino"), HardwareOptions(shots=4096, resilience=resilience)
    compiled = place_copies(program, device, copies=4)
    arrangement = arrange(9, 4, references=1)
    inputs, weights = random_angles(program, 3, 9)
    values = arrangement.values(compiled, inputs, weights)
    plan = make_plan(compiled, arrangement, options)
    backend = QiskitRuntimeService().backend("ibm_torino")
    pub = (compiled.circuit, [[o] for o in compiled.observables], values)
    job = Estimator(mode=backend, options=estimator_options(options, [], 60)).run([pub])
    data = job.result()[0].data
    (counted_job,) = service.jobs.values()
    assert (counted_job.circuits, counted_job.executions) == (plan.circuits, plan.executions)
    received = len(Service().fetch(job.job_id()))
    assert 0.25 < received / plan.download_bytes < 1.1  # idle qubits read 0 and compress
    if resilience:
        assert received / plan.download_bytes > 0.8
    collected = arrangement.collect(data.evs.T, data.stds.T)
    exact = device_values(compiled, values, None if resilience else device)
    expected = arrangement.collect(exact, exact).values
    if resilience:
        assert np.abs(collected.values - expected).max() < 0.25
    else:
        # The server does not let idle qubits relax; that difference is far below the shot noise.
        assert np.abs((collected.values - expected) / collected.errors).max() < 4.5
    assert len({tuple(np.round(row, 2)) for row in expected}) == 9  # distinct, so that an exchange would show


# The model


def test_quantum_seconds_are_two_a_job_and_delay_reset_and_duration_of_every_execution() -> None:
    compiled, delay = placed(4, 1), RepDelay(1e-4)
    plan = make_plan(compiled, arrange(20, 1), HardwareOptions(shots=1000, resilience=0), rep_delay=delay)
    pause = 1e-4 + 2.3e-6
    assert plan.quantum_seconds == pytest.approx(2.0 + 20_000 * (pause + compiled.circuit_seconds))
    mitigated = make_plan(compiled, arrange(20, 1), HardwareOptions(shots=1024), rep_delay=delay)
    assert mitigated.quantum_seconds == pytest.approx(
        2.0 + 20 * 1024 * (pause + compiled.circuit_seconds) + 1024 * pause
    )
    folded = make_plan(compiled, arrange(20, 1), HardwareOptions(shots=1024, resilience=2), rep_delay=delay)
    assert folded.quantum_seconds == pytest.approx(
        2.0 + 20 * 1024 * (3 * pause + 9 * compiled.circuit_seconds) + 1024 * pause
    )


def alone(options: HardwareOptions, num_qubits: int = 156, delay: float = 250e-6, **costs: Any) -> Workload:
    return Workload(options, num_qubits=num_qubits, rep_delay=RepDelay(delay), **costs)


@pytest.mark.parametrize(
    ("options", "num_qubits", "delay", "sets"),
    [
        # 5,000,000 executions a job
        (HardwareOptions(shots=1000, resilience=0), 10, 250e-6, 5000),
        (HardwareOptions(shots=1024), 10, 250e-6, 4881),
        # 16,000,000 bytes of measured bits
        (HardwareOptions(shots=1000, resilience=0), 156, 250e-6, 820),
        (HardwareOptions(shots=1024), 156, 250e-6, 800),
        # three hours: (10,800 s - 2 s) / (1000 × 4.0023 ms), and (10,798 s - 1024 × 4.0023 ms) / (1024 × 4.0023 ms)
        (HardwareOptions(shots=1000, resilience=0), 10, 4e-3, 2697),
        (HardwareOptions(shots=1024), 10, 4e-3, 2633),
    ],
)
def test_a_job_holds_as_many_parameter_sets_as_ibm_s_limits_allow(
    options: HardwareOptions, num_qubits: int, delay: float, sets: int
) -> None:
    assert alone(options, num_qubits, delay).sets_a_job == sets


def test_a_job_above_five_million_executions_is_charged_as_several() -> None:
    workload = alone(HardwareOptions(shots=1000, resilience=0))
    for sets, sub_jobs in ((5000, 1), (5001, 2), (10_000, 2), (12_000, 3)):
        assert workload.seconds(sets) == pytest.approx(2 * sub_jobs + sets * 1000 * 252.3e-6)
    assert workload.seconds(12_000, jobs=4) == pytest.approx(2 * 4 + 12_000 * 1000 * 252.3e-6)


def test_a_job_is_stopped_after_twice_its_estimate_and_a_minute_but_no_later_than_three_hours() -> None:
    (short,) = plan_of(10, 1, HardwareOptions(shots=1000, resilience=0)).chunks
    assert short.estimated_seconds == pytest.approx(2 + 10_000 * 0.00035)
    assert short.max_execution_seconds == 71
    long, *_ = plan_of(3000, 1, HardwareOptions(shots=1000, resilience=0), rep_delay_seconds=10e-3).chunks
    assert long.estimated_seconds > 5400
    assert long.max_execution_seconds == 10_800


def test_bytes_up_and_down_are_those_of_circuits_sets_and_measured_bits() -> None:
    plain = alone(HardwareOptions(shots=1000, resilience=0), inputs=12, gates=100, layers=5, used_qubits=8)
    # A circuit and its gates for each job; 150 bytes and 12 inputs of 8 bytes in base64 for each set.
    assert plain.upload_bytes(30, 2) == 2 * (40_000 + 3800) + 30 * (150 + 128)
    assert plain.result_bytes(30) == 30 * 1000 * 156 / 8
    mitigated = replace(plain, options=HardwareOptions(shots=1024), groups=3)
    assert mitigated.upload_bytes(30, 2) == 2 * (40_000 + 3800 + 40_000) + 30 * 3 * (150 + 128)
    assert mitigated.result_bytes(30, 2) == (30 * 3 + 2) * 1024 * 156 / 8
    folded = replace(plain, options=HardwareOptions(shots=1024, resilience=2))
    layers = (1 + 3 + 5) * 5 * (4000 + 200 * 8)
    assert folded.upload_bytes(30, 2) == 2 * (3 * (40_000 + 3800) + 40_000 + layers) + 30 * 3 * (150 + 128)
    plan = plan_of(30, 1, HardwareOptions(shots=1000, resilience=0))
    assert plan.download_bytes == 30 * 1000 * 156 / 8 * 4 / 3


def test_readout_calibration_is_charged_and_counted_once_a_job() -> None:
    workload = alone(HardwareOptions(shots=1024), seconds_per_circuit=0.01, groups=2, circuit_seconds=1e-6)
    assert workload.executions(30, 3) == (30 * 2 + 3) * 1024
    assert workload.circuits(30, 3) == (30 * 2 + 3) * 32
    assert workload.seconds(30, 3) == pytest.approx(3 * (2 + 1024 * 252.3e-6 + 0.32) + 60 * (1024 * 253.3e-6 + 0.32))
    assert workload.quick_seconds(30, 3) == pytest.approx(3 * 2 + 63 * 1024 * 0.00035)


def test_a_charge_for_each_circuit_counts_every_randomization_and_the_calibration() -> None:
    plain = plan_of(20, 1, HardwareOptions(shots=1024))
    charged = plan_of(20, 1, HardwareOptions(shots=1024), seconds_per_circuit=0.01)
    assert charged.quantum_seconds - plain.quantum_seconds == pytest.approx(0.01 * charged.circuits)
    assert charged.circuits == 21 * 32


def test_the_quick_rule_is_ibm_s_and_budgets_hold_the_larger_estimate() -> None:
    plan = plan_of(200, 1, HardwareOptions(resilience=0))
    assert plan.executions == 200 * 4096
    assert plan.quick_seconds == pytest.approx(2 * plan.jobs + 0.00035 * 200 * 4096)
    assert plan.quantum_seconds < plan.quick_seconds == plan.larger_seconds
    between = (plan.quantum_seconds + plan.quick_seconds) / 2
    with pytest.raises(BackendError, match=r"IBM's quick rule .* the larger one is more than --max-quantum-seconds"):
        plan.refuse_over(between)
    slow = plan_of(200, 1, HardwareOptions(resilience=0), rep_delay_seconds=4e-3)
    assert slow.quantum_seconds == slow.larger_seconds > slow.quick_seconds


def test_a_shorter_delay_that_was_asked_for_is_taken_off_both_estimates() -> None:
    usual, short = HardwareOptions(), HardwareOptions(rep_delay_us=50)
    plan, shorter = plan_of(3402, 8, usual), plan_of(3402, 8, short)
    saved = plan.executions * 200e-6
    assert plan.quantum_seconds - shorter.quantum_seconds == pytest.approx(saved)
    assert plan.quick_seconds - shorter.quick_seconds == pytest.approx(saved)
    assert plan.with_delay(50e-6) == pytest.approx(shorter.quantum_seconds)


def test_the_price_is_shown_for_both_estimates_and_only_where_it_is_known() -> None:
    assert plan_of(20, 1, HardwareOptions()).price is None
    plan = plan_of(20, 1, HardwareOptions(), price_per_second=1.6)
    assert plan.price == pytest.approx((1.6 * plan.quantum_seconds, 1.6 * plan.quick_seconds))


@pytest.mark.parametrize(
    ("device", "default", "alternatives"),
    [
        ("kingston", 250, (50, 125, 250)),
        ("miami", 4000, (1000, 2000, 4000)),
        ("berlin", 4000, (1000, 2000, 4000)),
        ("armonk", 250, (250,)),
    ],
)
def test_stored_devices_state_their_own_delay(device: str, default: float, alternatives: tuple[float, ...]) -> None:
    delay = stored_rep_delay(device)
    assert delay.default * 1e6 == pytest.approx(default)
    assert [seconds * 1e6 for seconds in delay.alternatives()] == pytest.approx(alternatives)
    assert delay.stated == (device != "armonk")


def test_a_delay_outside_the_device_s_range_is_refused_with_the_range() -> None:
    assert stored_rep_delay("miami").chosen(1500, "ibm_miami") == pytest.approx(1.5e-3)
    with pytest.raises(BackendError, match="rep_delay = 50 µs: ibm_miami takes 1000 to 4000 µs"):
        stored_rep_delay("miami").chosen(50, "ibm_miami")
    with pytest.raises(BackendError, match="ibm_old states no range of repetition delays"):
        RepDelay().chosen(50, "ibm_old")


def test_options_without_a_delay_are_what_they_were_before_there_was_one() -> None:
    assert "rep_delay_us" not in HardwareOptions().as_dict()
    assert HardwareOptions(**HardwareOptions(rep_delay_us=50).as_dict()).rep_delay_us == 50
    assert estimator_options(HardwareOptions(rep_delay_us=50), [], 60).execution.rep_delay == pytest.approx(50e-6)


@pytest.mark.parametrize(
    ("samples", "copies", "references"),
    [(20, 20, 0), (40, 20, 1), (100, 20, 2), (200, 20, 4), (3402, 20, 4), (3, 8, 0)],
)
def test_reference_images_take_a_third_of_a_small_run_at_most(samples: int, copies: int, references: int) -> None:
    assert references_for(samples, copies) == references
    assert references <= rows_needed(samples, copies, references) / 3


def test_the_whole_padsd_test_set_takes_less_than_five_quantum_minutes_on_a_heron_chip() -> None:
    """3,402 images at 4,096 shots, with readout mitigation and references; one at a time about an hour."""
    compiled = place_copies(ring(4, 2), stored_device("kingston"), samples=3402)
    plan = make_plan(compiled, arrange(3402, len(compiled.copies)), HardwareOptions(), quota_seconds=600.0)
    assert len(compiled.copies) >= 16
    assert compiled.copies[-1].expected_error <= 2 * compiled.copies[0].expected_error
    assert (plan.samples, plan.shots, plan.references) == (3402, 4096, 4)
    assert plan.quantum_seconds < 300
    assert 55 * 60 < plan.quantum_seconds + plan.saved_seconds < 70 * 60
    plan.refuse_over(300)


# Chunks


options_of = st.builds(
    HardwareOptions,
    shots=st.integers(1, 300).map(lambda k: 32 * k),
    resilience=st.sampled_from([0, 1, 2]),
)


def plan_of(
    samples: int,
    copies: int,
    options: HardwareOptions,
    *,
    reference_chunk: bool | None = None,
    quota_seconds: float | None = None,
    rep_delay_seconds: float = 250e-6,
    **money: float,
) -> Plan:
    return make_plan(
        placed(4, copies),
        arrange(samples, copies),
        options,
        reference_chunk=reference_chunk,
        quota_seconds=quota_seconds,
        rep_delay=RepDelay(rep_delay_seconds),
        **money,
    )


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 3000),
    copies=st.sampled_from([1, 3, 8]),
    options=options_of,
    reference_chunk=st.sampled_from([None, True, False]),
    rep_delay=st.sampled_from([1e-5, 250e-6, 1e-2]),
)
def test_chunks_cover_all_rows_once_within_the_limits_and_add_up_to_the_plan(
    samples: int, copies: int, options: HardwareOptions, reference_chunk: bool | None, rep_delay: float
) -> None:
    plan = plan_of(samples, copies, options, reference_chunk=reference_chunk, rep_delay_seconds=rep_delay)
    own = [chunk for chunk in plan.chunks if not chunk.reference]
    rows = arrange(samples, copies).rows
    assert [row for chunk in own for row in range(chunk.start, chunk.stop)] == list(range(rows))
    lengths = [chunk.stop - chunk.start for chunk in own]
    assert max(lengths) - min(lengths) <= 1
    repeated = [chunk for chunk in plan.chunks if chunk.reference]
    assert bool(repeated) == (len(own) > 3 if reference_chunk is None else reference_chunk)
    if repeated:
        assert repeated == [replace(plan.chunks[0], reference=True)] == [plan.chunks[-1]]
    for chunk in plan.chunks:
        sets = chunk.stop - chunk.start
        assert chunk.estimated_seconds == max(plan.workload.seconds(sets), plan.workload.quick_seconds(sets))
    assert plan.larger_seconds <= sum(chunk.estimated_seconds for chunk in plan.chunks) * (1 + 1e-12)
    assert plan.sets == sum(chunk.stop - chunk.start for chunk in plan.chunks)
    for chunk in plan.chunks:
        sets = chunk.stop - chunk.start
        assert plan.workload.executions(sets) <= MAX_EXECUTIONS
        assert plan.workload.result_bytes(sets) <= MAX_RESULT_BYTES
        assert chunk.estimated_seconds <= MAX_JOB_SECONDS
        assert chunk.estimated_seconds < chunk.max_execution_seconds <= MAX_JOB_SECONDS
    if len(own) > 1:  # not in fewer jobs
        sets = -(-rows // (len(own) - 1))
        assert (
            plan.workload.executions(sets) > MAX_EXECUTIONS
            or plan.workload.result_bytes(sets) > MAX_RESULT_BYTES
            or plan.workload.seconds(sets) > MAX_JOB_SECONDS
        )


def test_more_shots_than_a_job_takes_are_refused() -> None:
    with pytest.raises(BackendError, match="shots = 2000000 are more than one job takes for a single sample"):
        plan_of(1, 1, HardwareOptions(shots=2_000_000))


# Refusals


@settings(max_examples=50, deadline=None)
@given(
    samples=st.integers(1, 1500),
    copies=st.sampled_from([1, 3, 8]),
    options=options_of,
    share=st.floats(0.01, 1.2),
    reference_chunk=st.sampled_from([None, True, False]),
    as_quota=st.booleans(),
)
def test_a_refusal_names_the_largest_limit_and_shots_that_fit(
    samples: int, copies: int, options: HardwareOptions, share: float, reference_chunk: bool | None, as_quota: bool
) -> None:
    wanted = plan_of(samples, copies, options, reference_chunk=reference_chunk)
    allowed = share * wanted.larger_seconds
    quota, most = (allowed, None) if as_quota else (None, allowed)
    plan = plan_of(samples, copies, options, reference_chunk=reference_chunk, quota_seconds=quota)
    if plan.larger_seconds <= allowed:
        plan.refuse_over(most)
        return
    with pytest.raises(BackendError) as refused:
        plan.refuse_over(most)
    said = str(refused.value)
    assert ("of the quota" in said) == as_quota
    assert ("--max-quantum-seconds" in said) != as_quota

    def seconds(samples: int, shots: int) -> float:
        changed = replace(options, shots=shots)
        return plan_of(samples, copies, changed, reference_chunk=reference_chunk).larger_seconds

    limit, shots = (re.search(rf"--{what} (\d+)", said) for what in ("limit", "shots"))
    least = options.twirls
    if limit is None:
        assert seconds(1, options.shots) > allowed
    else:
        assert seconds(int(limit[1]), options.shots) <= allowed < seconds(int(limit[1]) + 1, options.shots)
    if shots is None:
        assert options.shots == least or seconds(samples, least) > allowed
    else:
        assert seconds(samples, int(shots[1])) <= allowed < seconds(samples, int(shots[1]) + least)
        replace(options, shots=int(shots[1]))  # a number of shots that is allowed


def test_what_fits_both_limits_is_not_refused_and_the_smaller_one_refuses() -> None:
    plan = plan_of(100, 1, HardwareOptions(), quota_seconds=500.0)
    plan.refuse_over()
    plan.refuse_over(200)
    with pytest.raises(BackendError, match=r"more than --max-quantum-seconds 20 allows: --limit \d+ or --shots \d+"):
        plan.refuse_over(20)
    with pytest.raises(BackendError, match="neither a single sample nor the fewest shots would fit"):
        plan.refuse_over(1)
    with pytest.raises(BackendError, match="more than the 50 that remain of the quota"):
        plan_of(100, 1, HardwareOptions(), quota_seconds=50.0).refuse_over(80)


def test_the_plan_as_json_says_the_same() -> None:
    plan = plan_of(900, 8, HardwareOptions(), quota_seconds=480.0)
    kept = plan.as_dict()
    assert kept["circuits"] == plan.circuits
    assert kept["saved_seconds"] == pytest.approx(plan.saved_seconds, abs=1e-3)
    assert kept["quota_seconds"] == 480.0
