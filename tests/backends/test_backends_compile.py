"""Where a circuit is placed on a device."""

from __future__ import annotations

import numpy as np
import pytest
from programs import random_program
from qiskit.transpiler import generate_preset_pass_manager

from backends.compile import _search, place, restrict_target
from backends.devices import device_of, stored_device


@pytest.mark.parametrize("name", ["torino", "brisbane", "kingston"])
def test_a_circuit_stays_on_as_many_qubits_as_it_has_and_on_its_gates(name: str) -> None:
    device = stored_device(name)
    placement = place(random_program(4, 5, gates=25).circuit, device)
    assert placement.circuit.num_qubits == len(placement.patch) == len(set(placement.positions)) == 5
    for item in placement.circuit.data:
        qubits = tuple(placement.patch[placement.circuit.find_bit(q).index] for q in item.qubits)
        assert device.target.instruction_supported(item.operation.name, qubits)


@pytest.mark.parametrize("name", ["torino", "kingston"])
def test_the_layout_keeps_the_readout_error_in_view(name: str) -> None:
    """Transpiling the unmeasured circuit for the whole device does not, and reads far worse."""
    device = stored_device(name)
    circuit = random_program(4, 4, gates=20).circuit
    chosen = max(device.readout_error(q) for q in place(circuit, device).physical_qubits)
    plain = []
    for seed in range(4):
        manager = generate_preset_pass_manager(
            3, target=restrict_target(device, range(device.num_qubits)), seed_transpiler=seed
        )
        plain.append(max(device.readout_error(q) for q in manager.run(circuit).layout.final_index_layout()))
    assert chosen < 0.03
    assert chosen <= np.median(plain)


def test_a_placement_is_the_same_every_time_and_its_score_is_a_probability() -> None:
    circuit = random_program(4, 4).circuit
    first = place(circuit, stored_device("brisbane"), seed=3)
    _search.cache_clear()
    second = place(circuit, stored_device("brisbane"), seed=3)
    assert (first.patch, first.positions, first.seed_transpiler) == (
        second.patch,
        second.positions,
        second.seed_transpiler,
    )
    assert first.circuit == second.circuit
    assert 0 < first.score < 1


def test_a_calibration_is_read_with_its_asymmetric_readout_error() -> None:
    from qiskit_ibm_runtime.fake_provider import FakeBelemV2

    device = device_of(FakeBelemV2(), "belem")
    known = FakeBelemV2().properties().qubit_property(3)
    assert device.readout[3] == (known["prob_meas1_prep0"][0], known["prob_meas0_prep1"][0])
    assert device.readout[3][0] != device.readout[3][1]
    assert device.calibrated is not None
    assert device.calibrated.startswith("2021-03-15")


def test_broken_edges_are_not_used() -> None:
    device = stored_device("kingston")
    assert device.edges
    broken = [
        pair
        for pair, properties in device.target["cz"].items()
        if properties.error >= 0.5 and tuple(sorted(pair)) in device.edges
    ]
    assert broken == []
