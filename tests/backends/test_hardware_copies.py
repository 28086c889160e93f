"""Copies of a circuit on one chip: where they sit, what they compute, and which sample runs on which."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import random_angles, random_program, statevector_values, z_observables
from qiskit import QuantumCircuit, qasm3, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.library import SaveExpectationValue
from qiskit_ibm_runtime.fake_provider import FakeKingston
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits
from scipy.stats import spearmanr

from backends import BackendError, CircuitProgram, open_backend
from backends.compile import measured, restrict_target, schedule, translate_in_place, unmeasured
from backends.devices import Device, stored_device
from backends.ibm.arrangement import arrange, fewest_copies, rows_needed
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.copies import place_copies
from backends.ibm.patches import connected_patches
from backends.measurement import group_observables
from backends.noise import calibrated_noise


def ring(qubits: int, layers: int) -> CircuitProgram:
    """RY of the inputs, then layers of RZ, RY and a ring of CX: the circuit of the models here."""
    x, w = ParameterVector("x", qubits), ParameterVector("w", 2 * qubits * layers)
    circuit, weights = QuantumCircuit(qubits), iter(w)
    for q in range(qubits):
        circuit.ry(x[q], q)
    for _ in range(layers):
        for q in range(qubits):
            circuit.rz(next(weights), q)
        for q in range(qubits):
            circuit.ry(next(weights), q)
        for q in range(qubits if qubits > 2 else qubits - 1):
            circuit.cx(q, (q + 1) % qubits)
    return CircuitProgram(circuit, tuple(x), tuple(w), z_observables(qubits))


@cache
def placed(device: str, qubits: int, spacing: int) -> HardwareCircuit:
    return place_copies(ring(qubits, 2), stored_device(device), spacing=spacing)


def couplings(device: Device) -> set[frozenset[int]]:
    """All pairs with a two-qubit gate, working or not."""
    return {frozenset(pair) for pair in device.target[device.entangler]}


def distances(device: Device, start: set[int]) -> dict[int, int]:
    """Couplings between each qubit and the nearest of ``start``."""
    found, border, pairs = dict.fromkeys(start, 0), start, couplings(device)
    while border:
        border = {b for pair in pairs for a in border & pair for b in pair} - set(found)
        found |= dict.fromkeys(border, max(found.values()) + 1)
    return found


def device_values(compiled: HardwareCircuit, values: np.ndarray, device: Device | None) -> np.ndarray:
    """Exact values (R, C*K) of the whole circuit, with the device's noise or (None) without.

    Its disconnected parts, found from the gates and observables alone, are simulated one by one.
    """
    evs = np.full((len(values), len(compiled.observables)), np.nan)
    columns = {parameter: values[:, i] for i, parameter in enumerate(compiled.circuit.parameters)}
    for qubits in parts(compiled):
        mine = [k for k, o in enumerate(compiled.observables) if support(o) <= set(qubits)]
        observables = [compiled.observables[k].apply_layout(None) for k in mine]
        local = [
            SparsePauliOp.from_sparse_list(
                [(paulis, [qubits.index(q) for q in where], c) for paulis, where, c in o.to_sparse_list()], len(qubits)
            )
            for o in observables
        ]
        evs[:, mine] = part_values(part_of(compiled.circuit, qubits), local, columns, len(values), device, qubits)
    return evs


def support(observable: SparsePauliOp) -> set[int]:
    return {q for _, where, _ in observable.to_sparse_list() for q in where}


def parts(compiled: HardwareCircuit) -> list[list[int]]:
    """Sets of qubits joined by gates or observables, idle ones left out."""
    joined = [{compiled.circuit.find_bit(q).index for q in item.qubits} for item in compiled.circuit.data]
    groups: list[set[int]] = []
    for members in [*joined, *map(support, compiled.observables)]:
        touching = [group for group in groups if group & members]
        groups = [group for group in groups if not group & members] + [members.union(*touching)]
    return [sorted(group) for group in groups if group]


def part_of(circuit: QuantumCircuit, qubits: Sequence[int]) -> QuantumCircuit:
    part = QuantumCircuit(len(qubits))
    for item in circuit.data:
        where = [circuit.find_bit(q).index for q in item.qubits]
        if set(where) <= set(qubits):
            part.append(item.operation, [qubits.index(q) for q in where])
    return part


def part_values(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    columns: dict[Parameter, np.ndarray],
    rows: int,
    device: Device | None,
    qubits: Sequence[int],
) -> np.ndarray:
    """Exact values (rows, K) of a circuit on some qubits of a device, gate errors, idling and readout included."""
    target = None if device is None else restrict_target(device, qubits)
    noise = None if device is None else calibrated_noise(target, [device.readout[q] for q in qubits])
    readout = [(0.0, 0.0)] * len(qubits) if noise is None else noise.readout
    total = np.zeros((rows, len(observables)))
    for group in group_observables(observables):
        rotation = group.rotation() if target is None else translate_in_place(group.rotation(), target)
        ready = circuit.compose(rotation) if group.needs_rotation else circuit.copy()
        if target is not None:
            ready = unmeasured(schedule(measured(ready), target))
        for k, operator in enumerate(group.read_as(readout)):
            ready.append(SaveExpectationValue(operator, label=str(k)), ready.qubits)
        result = (
            AerSimulator(method="statevector" if noise is None else "density_matrix", max_parallel_threads=1)
            .run(
                [ready],
                parameter_binds=[{p: columns[p].tolist() for p in ready.parameters}],
                noise_model=None if noise is None else noise.model(with_readout=False),
                shots=1,
            )
            .result()
        )
        total += [[result.data(i)[str(k)] for k in range(len(observables))] for i in range(rows)]
    return total


# Where the copies sit


@pytest.mark.parametrize(
    ("device", "qubits", "spacing", "least"),
    [
        ("kingston", 4, 1, 16),
        ("brisbane", 4, 1, 16),
        ("kingston", 2, 2, 10),
        ("kingston", 1, 1, 5),
        pytest.param("torino", 4, 1, 11, marks=pytest.mark.slow),
        pytest.param("miami", 4, 1, 10, marks=pytest.mark.slow),
        pytest.param("kingston", 3, 0, 24, marks=pytest.mark.slow),
        pytest.param("brisbane", 5, 3, 5, marks=pytest.mark.slow),
        pytest.param("torino", 6, 1, 8, marks=pytest.mark.slow),
        pytest.param("kingston", 8, 1, 10, marks=pytest.mark.slow),
        pytest.param("miami", 6, 1, 8, marks=pytest.mark.slow),
    ],
)
def test_patches_are_connected_and_apart_and_within_the_factor_of_the_best(
    device: str, qubits: int, spacing: int, least: int
) -> None:
    known = stored_device(device)
    compiled = placed(device, qubits, spacing)
    assert len(compiled.copies) >= least
    errors = [patch.expected_error for patch in compiled.copies]
    assert errors == sorted(errors)
    assert errors[-1] <= 2.0 * errors[0]
    for patch in compiled.copies:
        assert sorted(patch.physical_qubits) == list(patch.qubits)
        assert len(patch.qubits) == qubits
        reached = {q for q, far in distances(known, set(patch.qubits[:1])).items() if far < qubits}
        assert set(patch.qubits) <= reached
        assert all(a in patch.qubits and b in patch.qubits for a, b, _ in patch.two_qubit_errors)
        assert 0 < patch.score < 1
    for one, other in combinations(compiled.copies, 2):
        far = distances(known, set(one.qubits))
        assert min(far[q] for q in other.qubits) > spacing
    parts_of_patches = {tuple(patch.qubits) for patch in compiled.copies}
    for part in parts(compiled):
        assert any(set(part) <= set(patch) for patch in parts_of_patches)


@pytest.mark.parametrize("device", ["kingston", "brisbane", pytest.param("miami", marks=pytest.mark.slow)])
def test_the_composed_circuit_is_one_the_device_can_run(device: str) -> None:
    """Brisbane has a directed two-qubit gate, so a circuit laid on another patch must be turned round."""
    compiled = placed(device, 4, 1)
    validate_isa_circuits([compiled.circuit], stored_device(device).target)
    assert compiled.circuit.num_qubits == stored_device(device).num_qubits
    if device == "kingston":
        FakeKingston().check_faulty(compiled.circuit)


def piece(device: str, qubits: Sequence[int]) -> Device:
    """Some qubits of a stored device as a device of their own: less to search."""
    whole = stored_device(device)
    return Device("piece", restrict_target(whole, qubits), tuple(whole.readout[q] for q in qubits), None)


@pytest.mark.parametrize(("corner", "qubits"), [(0, 2), (40, 3), (80, 2)])
def test_as_many_copies_are_taken_as_any_search_would_find(corner: int, qubits: int) -> None:
    """Against all subsets of all patches of a piece of Kingston."""
    whole = stored_device("kingston")
    near = sorted(distances(whole, {corner}).items(), key=lambda item: (item[1], item[0]))
    device = piece("kingston", [q for q, _ in near[:16]])
    patches = connected_patches(device, qubits)
    pairs = couplings(device)
    near_pairs = {
        (a, b)
        for a, b in combinations(patches, 2)
        if set(a) & set(b) or any(frozenset((p, q)) in pairs for p in a for q in b)
    }

    def most(free: list[tuple[int, ...]]) -> int:
        if not free:
            return 0
        first, rest = free[0], free[1:]
        return max(most(rest), 1 + most([p for p in rest if (first, p) not in near_pairs]))

    compiled = place_copies(ring(qubits, 1), device, factor=1e9)
    assert len(compiled.copies) == most(patches) > 1


def test_a_number_of_copies_is_met_exactly_or_refused_with_the_number_that_fits() -> None:
    device = piece("kingston", range(40))
    program = ring(3, 1)
    with pytest.raises(BackendError, match="30 copies of 3 qubits do not fit on piece with 1 idle qubits") as refused:
        place_copies(program, device, copies=30)
    most = int(str(refused.value).split("; ")[1].split()[0])
    assert len(place_copies(program, device, copies=most).copies) == most
    with pytest.raises(BackendError, match=f"; {most} do"):
        place_copies(program, device, copies=most + 1)
    few, many = (place_copies(program, device, copies=n) for n in (2, most))
    assert len(few.copies) == 2
    assert max(p.expected_error for p in few.copies) <= max(p.expected_error for p in many.copies)


@pytest.mark.parametrize(
    "device",
    ["kingston", "sherbrooke", *(pytest.param(name, marks=pytest.mark.slow) for name in ("torino", "brisbane"))],
)
def test_a_copy_alone_is_placed_nearly_as_well_as_on_the_best_of_all_patches(device: str) -> None:
    """Idle qubits count in both searches: where only gates and readout do, it is 2.7 times as bad on Sherbrooke."""
    alone = place_copies(ring(4, 2), stored_device(device), copies=1).copies[0]
    assert alone.expected_error < 1.35 * placed(device, 4, 1).copies[0].expected_error


def test_options_out_of_range_and_circuits_that_do_not_fit_are_refused_in_one_sentence() -> None:
    device = piece("kingston", range(6))
    program = ring(2, 1)
    for options, message in (
        ({"copies": 0}, "copies = 0; at least 1"),
        ({"factor": 0.5}, "factor = 0.5; at least 1"),
        ({"spacing": -1}, "spacing = -1; at least 0"),
    ):
        with pytest.raises(BackendError, match=message):
            place_copies(program, device, **options)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="the circuit has 7 qubits; piece has 6"):
        place_copies(ring(7, 1), device)


def test_one_copy_is_placed_as_on_every_other_backend() -> None:
    program = ring(4, 2)
    one = place_copies(program, stored_device("torino"), copies=1)
    stored = open_backend("fake_torino").compile(program)
    assert one.physical_qubits == stored.physical_qubits
    assert one.record["seed_transpiler"] == stored.record["seed_transpiler"]
    assert one.record["two_qubit_gates"] == stored.record["two_qubit_gates"]
    assert place_copies(program, stored_device("torino"), samples=1).physical_qubits == one.physical_qubits


def test_the_same_seed_places_the_same_copies() -> None:
    program, device = ring(3, 1), piece("kingston", range(50))
    first, again = (place_copies(program, device, seed=5) for _ in range(2))
    assert first.copies == again.copies
    assert qasm3.dumps(first.circuit) == qasm3.dumps(again.circuit)


def test_the_record_is_plain_json_and_says_where_each_copy_sits() -> None:
    compiled = placed("kingston", 4, 1)
    record = json.loads(json.dumps(compiled.record))
    assert [copy["qubits"] for copy in record["copies"]] == [list(patch.qubits) for patch in compiled.copies]
    assert sum(copy["two_qubit_gates"] for copy in record["copies"]) == record["two_qubit_gates"]
    assert record["layout"] == record["copies"][0]["layout"] == list(compiled.physical_qubits or ())


def test_few_samples_take_no_more_copies_than_shorten_the_run() -> None:
    compiled = place_copies(ring(4, 2), stored_device("kingston"), samples=30)
    everything = placed("kingston", 4, 1)
    assert len(compiled.copies) < len(everything.copies)
    assert rows_needed(30, len(compiled.copies)) == rows_needed(30, len(everything.copies))
    mean = [np.mean([p.expected_error**2 for p in c.copies]) for c in (compiled, everything)]
    assert mean[0] < mean[1]


@pytest.mark.parametrize(("references", "copies"), [(0, 15), (4, 13)])
def test_reference_images_count_when_copies_are_chosen(references: int, copies: int) -> None:
    """Thirty images in 2 rows, or four of them in a row each and 26 in 2 more."""
    assert 15 < len(placed("kingston", 4, 1).copies) < 26
    compiled = place_copies(ring(4, 2), stored_device("kingston"), samples=30, references=references)
    assert len(compiled.copies) == copies


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 6))
def test_the_fewest_copies_take_as_few_rows_and_one_less_takes_more(samples: int, copies: int, references: int) -> None:
    fewest = fewest_copies(samples, copies, references)
    rows = rows_needed(samples, copies, references)
    assert 1 <= fewest <= copies
    assert rows_needed(samples, fewest, references) <= rows
    if fewest > 1:
        assert rows_needed(samples, fewest - 1, references) > rows


def test_an_execution_takes_as_long_as_its_longest_copy() -> None:
    compiled, known = placed("brisbane", 4, 1), stored_device("brisbane")
    alone = [
        measured(part_of(compiled.circuit, patch.qubits)).estimate_duration(restrict_target(known, patch.qubits), "s")
        for patch in compiled.copies
    ]
    assert compiled.circuit_seconds == pytest.approx(max(alone))
    assert min(alone) < max(alone)


# What the calibration lets one expect


def expected_and_true(device: str, program: CircuitProgram, every: int) -> np.ndarray:
    """Expected and exact rms error of ⟨O⟩ on patches good and bad, shape (2, M), at random angles."""
    known = stored_device(device)
    found = []
    for patch in connected_patches(known, program.circuit.num_qubits)[::every]:
        alone = piece(device, patch)
        compiled = place_copies(program, alone, copies=1)
        values = np.random.default_rng(0).uniform(-np.pi, np.pi, (24, len(compiled.circuit.parameters)))
        noisy, pure = (device_values(compiled, values, where) for where in (alone, None))
        found.append((compiled.copies[0].expected_error, np.sqrt(np.mean((noisy - pure) ** 2))))
    return np.array(found).T


@pytest.mark.parametrize(
    ("device", "program", "every"),
    [
        ("torino", ring(2, 2), 20),
        *(
            pytest.param(device, program, every, marks=pytest.mark.slow)
            for device in ("kingston", "torino", "brisbane")
            for program, every in (
                (ring(4, 2), 20),
                (random_program(5, 3, gates=14), 12),
                (random_program(5, 2, gates=8), 9),
                (random_program(5, 2, gates=8, observables=(SparsePauliOp(["ZZ", "XI"], [0.5, 1.0]),)), 9),
            )
        ),
    ],
)
def test_the_expected_error_ranks_patches_and_is_near_the_true_one(
    device: str, program: CircuitProgram, every: int
) -> None:
    expected, true = expected_and_true(device, program, every)
    assert true.max() > 2 * true.min()
    assert spearmanr(expected, true)[0] > 0.9
    assert (true / expected).min() > 0.6
    assert (true / expected).max() < 1.5


# What the copies compute


def programs() -> dict[str, CircuitProgram]:
    """Routed, swapped, rotated: whatever could put a value in the wrong place."""
    swapped = random_program(3, 4)
    swapped.circuit.swap(0, 3)
    swapped.circuit.swap(1, 2)
    products = (
        SparsePauliOp("ZIZ"),
        SparsePauliOp(["ZZZ", "IZI", "III"], [0.5, -1.5, 0.25]),
        SparsePauliOp("IIZ"),
    )
    bases = (SparsePauliOp("XX"), SparsePauliOp(["ZZ", "IY"], [1.0, 0.5]))
    return {
        "ring": ring(4, 2),
        "permuted": CircuitProgram(swapped.circuit, swapped.inputs, swapped.weights, swapped.observables),
        "products of Z": random_program(8, 3, observables=products),
        "several bases": random_program(9, 2, gates=8, observables=bases),
        "full": random_program(12, 5, gates=16),
        "one qubit": random_program(4, 1, gates=3),
    }


@pytest.mark.parametrize(
    ("device", "name"),
    [
        *(("kingston", name) for name in programs()),
        ("brisbane", "permuted"),
        *(pytest.param("brisbane", name, marks=pytest.mark.slow) for name in programs() if name != "permuted"),
    ],
)
def test_without_noise_copies_give_what_one_at_a_time_gives(name: str, device: str) -> None:
    program = programs()[name]
    inputs, weights = random_angles(program, 1, 11)
    one_at_a_time = statevector_values(program, inputs, weights)
    for copies in (1, 4):
        compiled = place_copies(program, piece(device, range(50)), copies=copies)
        arrangement = arrange(11, copies, references=2, seed=copies)
        evs = device_values(compiled, arrangement.values(compiled, inputs, weights), None)
        collected = arrangement.collect(evs, np.zeros_like(evs))
        np.testing.assert_allclose(collected.values, one_at_a_time, atol=1e-7)
        assert all(check.rms < 1e-7 and not check.suspect for check in collected.patches)


def test_without_noise_sampled_copies_agree_within_shot_noise() -> None:
    program, shots = ring(4, 2), 4096
    compiled = place_copies(program, piece("kingston", range(60)), copies=6)
    inputs, weights = random_angles(program, 2, 22)
    arrangement = arrange(22, 6, references=2)
    values = arrangement.values(compiled, inputs, weights)
    outcomes = np.full((len(values), len(compiled.observables)), np.nan)
    for qubits in parts(compiled):
        ready = measured(part_of(compiled.circuit, qubits))
        mine = [k for k, o in enumerate(compiled.observables) if support(o) <= set(qubits)]
        where = [qubits.index(next(iter(support(compiled.observables[k])))) for k in mine]
        for row, angles in enumerate(values):
            bound = ready.assign_parameters(
                {p: v for p, v in zip(compiled.circuit.parameters, angles, strict=True) if p in ready.parameters}
            )
            counts = AerSimulator(seed_simulator=row).run(bound, shots=shots).result().get_counts()
            outcomes[row, mine] = [
                sum((-1) ** int(key[-1 - w]) * n for key, n in counts.items()) / shots for w in where
            ]
    errors = np.sqrt((1 - outcomes**2) / shots)
    collected = arrangement.collect(outcomes, errors)
    apart = (collected.values - statevector_values(program, inputs, weights)) / collected.errors
    assert np.abs(apart).max() < 5
    assert 0.8 < np.sqrt(np.mean(apart**2)) < 1.2
    assert not any(check.suspect for check in collected.patches)


def test_with_noise_one_copy_gives_what_the_stored_device_gives() -> None:
    """The simulation by parts and the backend of the stored calibration, independently of each other."""
    for program in (ring(4, 2), programs()["several bases"]):
        compiled = place_copies(program, stored_device("torino"), copies=1)
        inputs, weights = random_angles(program, 4, 5)
        arrangement = arrange(5, 1)
        evs = device_values(compiled, arrangement.values(compiled, inputs, weights), stored_device("torino"))
        stored = open_backend("fake_torino")
        alone = stored.run(stored.compile(program), inputs, weights).values
        np.testing.assert_allclose(arrangement.collect(evs, evs).values, alone, atol=1e-9)


def assert_each_sample_agrees_with_itself_alone(
    program: CircuitProgram, device: Device, copies: int | str, samples: int
) -> None:
    compiled = place_copies(program, device, copies=copies)  # type: ignore[arg-type]
    count = len(compiled.copies)
    inputs, weights = random_angles(program, 6, samples)
    arrangement = arrange(samples, count, references=2, seed=3)
    evs = device_values(compiled, arrangement.values(compiled, inputs, weights), device)
    collected = arrangement.collect(evs, np.full_like(evs, 1 / 64)).values
    size = program.circuit.num_qubits
    spread = []
    for sample, (_, copy) in enumerate(arrangement.home):
        patch, own = compiled.copies[copy], compiled.copy_inputs[copy]
        local = [patch.qubits.index(q) for q in patch.physical_qubits]
        observables = [o.apply_layout(local, size) for o in program.observables]
        angles = dict(zip((*own, *program.weights), (*inputs[sample], *weights), strict=True))
        columns = {p: np.array([v]) for p, v in angles.items()}
        alone = part_values(part_of(compiled.circuit, patch.qubits), observables, columns, 1, device, patch.qubits)
        np.testing.assert_allclose(collected[sample], alone[0], atol=1e-9)
        spread.append(np.abs(alone[0] - statevector_values(program, inputs[sample : sample + 1], weights)[0]).max())
    assert max(spread) > 0.01  # the noise is there


def test_with_noise_each_sample_agrees_with_itself_run_alone_on_the_same_patch() -> None:
    assert_each_sample_agrees_with_itself_alone(programs()["products of Z"], piece("brisbane", range(50)), 3, 7)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["kingston", "torino"])
def test_with_noise_each_sample_agrees_with_itself_on_all_patches_of_the_chip(device: str) -> None:
    assert_each_sample_agrees_with_itself_alone(ring(4, 2), stored_device(device), "auto", 48)


def test_parameters_sort_by_copy_and_number_and_every_angle_reaches_its_own_gate() -> None:
    """Twelve copies with twelve inputs each, so that neither x02 and x10 nor [2] and [10] may change places."""
    x, w = ParameterVector("x", 12), ParameterVector("w", 11)
    circuit = QuantumCircuit(2)
    for i in range(12):
        circuit.ry(x[i], i % 2)
        circuit.cx(i % 2, 1 - i % 2)
        circuit.rx(w[i % 11], i % 2)
    program = CircuitProgram(circuit, tuple(x), tuple(w), z_observables(2))
    compiled = place_copies(program, stored_device("kingston"), copies=12)
    names = [f"x{copy:02d}[{i}]" for copy in range(12) for i in range(12)]
    assert [p.name for p in compiled.circuit.parameters] == [*(f"w[{i}]" for i in range(11)), *names]
    assert [p.name for own in compiled.copy_inputs for p in own] == names

    stored = io.BytesIO()
    qpy.dump(compiled.circuit, stored)
    stored.seek(0)
    assert [p.name for p in qpy.load(stored)[0].parameters] == [p.name for p in compiled.circuit.parameters]

    inputs, weights = np.arange(30 * 12).reshape(30, 12) / 100, 10 + np.arange(11) / 7
    arrangement = arrange(30, 12, references=1)
    values = arrangement.values(compiled, inputs, weights)
    for column, parameter in enumerate(compiled.circuit.parameters):
        if parameter in program.weights:
            expected = np.full(arrangement.rows, weights[program.weights.index(parameter)])
        else:
            copy, i = int(parameter.name[1:3]), int(parameter.name[4:-1])
            expected = inputs[arrangement.table[:, copy], i]
        np.testing.assert_array_equal(values[:, column], expected)
    evs = device_values(compiled, values, None)
    np.testing.assert_allclose(
        arrangement.collect(evs, evs).values, statevector_values(program, inputs, weights), atol=1e-7
    )


@pytest.mark.slow
def test_copies_of_eleven_qubits_compute_what_one_at_a_time_computes() -> None:
    program = random_program(2, 11, gates=20)
    compiled = place_copies(program, stored_device("kingston"), copies=4)
    inputs, weights = random_angles(program, 3, 6)
    arrangement = arrange(6, 4, references=1)
    evs = device_values(compiled, arrangement.values(compiled, inputs, weights), None)
    np.testing.assert_allclose(
        arrangement.collect(evs, evs).values, statevector_values(program, inputs, weights), atol=1e-7
    )


def test_names_of_weights_never_collide_with_those_of_the_copies() -> None:
    x, w = ParameterVector("x", 2), ParameterVector("x01", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(x[q], q)
        circuit.rx(w[q], q)
    circuit.cx(0, 1)
    program = CircuitProgram(circuit, tuple(x), tuple(w), z_observables(2))
    compiled = place_copies(program, stored_device("kingston"), copies=3)
    assert len({p.name for p in compiled.circuit.parameters}) == 8
    inputs, weights = random_angles(program, 1, 5)
    arrangement = arrange(5, 3)
    evs = device_values(compiled, arrangement.values(compiled, inputs, weights), None)
    np.testing.assert_allclose(
        arrangement.collect(evs, evs).values, statevector_values(program, inputs, weights), atol=1e-7
    )


def test_values_of_the_wrong_shape_are_refused() -> None:
    compiled, arrangement = place_copies(ring(2, 2), stored_device("kingston"), copies=3), arrange(10, 3)
    weights = np.zeros(8)
    with pytest.raises(ValueError, match=r"inputs have shape \(9, 2\), expected \(10, 2\)"):
        arrangement.values(compiled, np.zeros((9, 2)), weights)
    with pytest.raises(ValueError, match=r"weights have shape \(7,\), expected \(8,\)"):
        arrangement.values(compiled, np.zeros((10, 2)), np.zeros(7))
    with pytest.raises(ValueError, match="the circuit has 3 copies, the arrangement 4"):
        arrange(10, 4).values(compiled, np.zeros((10, 2)), weights)
    with pytest.raises(ValueError, match="values have shape"):
        arrangement.collect(np.zeros((2, 6)), np.zeros((2, 6)))


# Which sample runs where


sizes = {"samples": st.integers(1, 60), "copies": st.integers(1, 12), "references": st.integers(0, 5)}


@given(**sizes, seed=st.integers(0, 5))
def test_every_sample_has_one_slot_and_references_run_on_every_copy(
    samples: int, copies: int, references: int, seed: int
) -> None:
    arrangement = arrange(samples, copies, references=references, seed=seed)
    table, shared = arrangement.table, set(arrangement.references)
    assert table.shape == (rows_needed(samples, copies, references), copies)
    assert len(shared) == len(arrangement.references) == (min(references, samples) if copies > 1 else 0)
    counts = np.bincount(table.ravel(), minlength=samples)
    assert set(table.ravel()) == set(range(samples))
    if shared:
        assert all(counts[sample] == 1 for sample in range(samples) if sample not in shared)
        assert all((table == sample).any(axis=0).all() for sample in shared)
        assert (np.isin(table[:1], list(shared))).all()  # the first chunk, which may be repeated, has one
    if copies == 1:
        assert counts.max() == 1
    rows, homes = arrangement.home.T
    assert list(table[rows, homes]) == list(range(samples))
    assert len({tuple(slot) for slot in arrangement.home}) == samples


@settings(max_examples=40, deadline=None)
@given(**sizes, data=st.data())
def test_values_come_back_to_their_samples_whatever_their_order(
    samples: int, copies: int, references: int, data: st.DataObject
) -> None:
    arrangement = arrange(samples, copies, references=references)
    order = np.array(data.draw(st.permutations(range(samples))))
    truth = np.random.default_rng(0).normal(size=(samples, 3))
    for permuted in (truth, truth[order]):
        evs = permuted[arrangement.table].reshape(arrangement.rows, -1)
        collected = arrangement.collect(evs, np.abs(evs))
        np.testing.assert_array_equal(collected.values, permuted)
        np.testing.assert_array_equal(collected.errors, np.abs(permuted))
        assert all(check.rms < 1e-12 and not check.suspect for check in collected.patches)


def test_the_arrangement_follows_from_the_seed_and_is_no_order_of_the_samples() -> None:
    first, again, other = (arrange(200, 16, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.table, again.table)
    np.testing.assert_array_equal(first.home, again.home)
    assert (first.table != other.table).mean() > 0.5
    position = first.home @ [16, 1]
    assert abs(np.corrcoef(np.arange(200), position)[0, 1]) < 0.2
    assert abs(np.corrcoef(np.arange(200), first.home[:, 1])[0, 1]) < 0.2


def test_numbers_out_of_range_are_refused() -> None:
    for options, message in (((0, 2, 1), "samples = 0"), ((2, 0, 1), "copies = 0"), ((2, 2, -1), "references = -1")):
        with pytest.raises(BackendError, match=message):
            arrange(options[0], options[1], references=options[2])


def measured_with_shot_noise(bad: int | None, *, copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (R, C*K) of patches that differ a little, and one that reads 30 % less and 0.05 more."""
    rng = np.random.default_rng(seed)
    arrangement = arrange(100, copies)
    truth = rng.uniform(-0.8, 0.8, (100, 4))
    gain = rng.uniform(0.93, 0.98, (copies, 4))
    offset = rng.normal(0, 0.005, (copies, 4))
    if bad is not None:
        gain[bad], offset[bad] = 0.68, 0.05
    evs = truth[arrangement.table] * gain + offset
    errors = np.sqrt((1 - evs**2) / 4096)
    shown = evs + rng.normal(size=evs.shape) * errors
    return shown.reshape(len(shown), -1), errors.reshape(len(shown), -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([6, 16, 23]))
def test_a_patch_that_reads_otherwise_than_the_rest_is_suspect_and_no_other(seed: int, copies: int) -> None:
    bad = seed % copies
    checks = arrange(100, copies).collect(*measured_with_shot_noise(bad, copies=copies, seed=seed)).patches
    assert [copy for copy, check in enumerate(checks) if check.suspect] == [bad]
    assert checks[bad].rms_in_errors == max(check.rms_in_errors for check in checks)
    checks = arrange(100, copies).collect(*measured_with_shot_noise(None, copies=copies, seed=seed)).patches
    assert not any(check.suspect for check in checks)
    assert all(0.3 < check.rms_in_errors < 3 for check in checks)


def test_of_two_patches_none_can_be_called_wrong_and_one_is_not_compared() -> None:
    checks = arrange(100, 2).collect(*measured_with_shot_noise(1, copies=2, seed=0)).patches
    assert len(checks) == 2
    assert not any(check.suspect for check in checks)
    assert checks[0].rms == pytest.approx(checks[1].rms)
    assert arrange(10, 1).collect(np.zeros((10, 4)), np.ones((10, 4))).patches == ()
