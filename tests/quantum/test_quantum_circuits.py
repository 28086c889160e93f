"""Circuit specifications: what they build, what they refuse, how they are shown."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import qasm3
from qiskit.circuit import ParameterVector
from quantum_programs import points, reference_values

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec, dead_weights, describe, draw, to_qasm3


def gate_list(program: CircuitProgram) -> list[tuple[str, tuple[int, ...], str]]:
    circuit = program.circuit
    return [
        (item.operation.name, tuple(circuit.find_bit(q).index for q in item.qubits), "".join(map(str, item.params)))
        for item in circuit.data
    ]


def test_the_default_layer_is_rz_ry_and_a_ring_of_cx():
    assert gate_list(CircuitSpec(3, 1).build()) == [
        ("ry", (0,), "x[0]"),
        ("ry", (1,), "x[1]"),
        ("ry", (2,), "x[2]"),
        ("rz", (0,), "w[0]"),
        ("rz", (1,), "w[1]"),
        ("rz", (2,), "w[2]"),
        ("ry", (0,), "w[3]"),
        ("ry", (1,), "w[4]"),
        ("ry", (2,), "w[5]"),
        ("cx", (0, 1), ""),
        ("cx", (1, 2), ""),
        ("cx", (2, 0), ""),
    ]


@pytest.mark.parametrize(
    ("entanglement", "qubits", "pairs"),
    [
        ("ring", 4, [(0, 1), (1, 2), (2, 3), (3, 0)]),
        ("ring", 2, [(0, 1)]),
        ("ring", 1, []),
        ("linear", 4, [(0, 1), (1, 2), (2, 3)]),
        ("full", 3, [(0, 1), (0, 2), (1, 2)]),
        ("none", 3, []),
    ],
)
def test_entangling_pairs(entanglement, qubits, pairs):
    program = CircuitSpec(qubits, 1, entanglement=entanglement, entangler="cz").build()
    assert [where for name, where, _ in gate_list(program) if name == "cz"] == pairs


def test_reuploading_encodes_before_every_layer():
    once, each = CircuitSpec(2, 3, encoding="rx"), CircuitSpec(2, 3, encoding="rx", reuploading=True)
    assert describe(once.build())["gates"]["rx"] == 2
    assert describe(each.build())["gates"]["rx"] == 6


def test_no_layers_leave_the_encoding_alone():
    program = CircuitSpec(3, 0).build()
    assert [name for name, *_ in gate_list(program)] == ["ry"] * 3
    assert program.weights == ()


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("qubits", {"qubits": 0}),
        ("layers", {"qubits": 2, "layers": -1}),
        ("rotations", {"qubits": 2, "rotations": ()}),
        ("rotations", {"qubits": 2, "rotations": ("rz", "rq")}),
        ("encoding", {"qubits": 2, "encoding": "rz"}),
        ("entanglement", {"qubits": 2, "entanglement": "star"}),
        ("entangler", {"qubits": 2, "entangler": "swap"}),
    ],
)
def test_a_value_that_is_not_allowed_is_named_in_one_sentence(key, values):
    with pytest.raises(UserError, match=rf"^circuit: {key}\b.*(at least|allowed)") as error:
        CircuitSpec(**values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("entanglement", ["ring", "linear", "full", "none"])
@pytest.mark.parametrize("entangler", ["cx", "cz"])
@pytest.mark.parametrize("reuploading", [False, True])
def test_the_default_rotations_have_no_dead_weights(entanglement, entangler, reuploading):
    spec = CircuitSpec(3, 2, entanglement=entanglement, entangler=entangler, reuploading=reuploading)
    assert dead_weights(spec.build()) == []


def test_the_last_rz_before_a_ring_is_named_as_dead():
    program = CircuitSpec(4, 2, rotations=("ry", "rz")).build()
    assert dead_weights(program) == ["w[12]", "w[13]", "w[14]", "w[15]"]


def test_description_counts_what_is_in_the_circuit():
    assert describe(CircuitSpec(4, 2).build()) == {
        "qubits": 4,
        "depth": 13,
        "gates": {"cx": 8, "ry": 12, "rz": 8},
        "two_qubit_gates": 8,
        "inputs": 4,
        "weights": 16,
        "observables": 4,
    }


def test_the_qasm_text_is_the_same_circuit():
    program = CircuitSpec(3, 2, reuploading=True).build()
    read = qasm3.loads(to_qasm3(program))
    by_name = {parameter.name: parameter for parameter in read.parameters}
    again = CircuitProgram(
        read,
        tuple(by_name[f"_x_{i}_"] for i in range(3)),
        tuple(by_name[f"_w_{i}_"] for i in range(12)),
        program.observables,
    )
    inputs, weights = points(program, 2)
    np.testing.assert_allclose(
        reference_values(again, inputs, weights), reference_values(program, inputs, weights), atol=1e-12
    )


def test_the_drawing_is_a_whole_image_and_nothing_else(tmp_path):
    draw(CircuitSpec(4, 2).build(), tmp_path / "circuit.png")
    assert [path.name for path in tmp_path.iterdir()] == ["circuit.png"]
    content = (tmp_path / "circuit.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content.rstrip().endswith(b"IEND\xaeB`\x82")


def test_parameters_have_the_names_by_which_they_are_reported():
    program = CircuitSpec(2, 1).build()
    assert [p.name for p in program.inputs] == [p.name for p in ParameterVector("x", 2)]
    assert [p.name for p in program.weights] == [p.name for p in ParameterVector("w", 4)]


def test_ranged_entanglement_reaches_further_in_every_layer():
    spec = CircuitSpec(4, 4, entanglement="ranged")
    assert [spec.pairs(layer)[0] for layer in range(4)] == [(0, 1), (0, 2), (0, 3), (0, 1)]
    assert spec.pairs(1) == [(0, 2), (1, 3), (2, 0), (3, 1)]
    assert CircuitSpec(2, 1, entanglement="ranged").pairs() == [(0, 1), (1, 0)]
    assert CircuitSpec(1, 1, entanglement="ranged").pairs() == []


def test_strongly_entangling_layers_end_in_dead_rz():
    program = CircuitSpec(4, 2, encoding="rx", rotations=("rz", "ry", "rz"), entanglement="ranged").build()
    assert dead_weights(program) == ["w[20]", "w[21]", "w[22]", "w[23]"]


def test_superposition_comes_before_the_encoding():
    assert [name for name, *_ in gate_list(CircuitSpec(2, 0, superposition=True).build())] == ["h", "h", "ry", "ry"]
    with pytest.raises(UserError, match=r"^circuit: superposition = True with encoding = 'rx'"):
        CircuitSpec(2, superposition=True, encoding="rx")


@pytest.mark.parametrize("qubits", [1, 2, 4])
def test_fourier_attention_weighs_the_amplitudes_in_fourier_space(qubits):
    program = CircuitSpec(qubits, 0, attention="fourier").build()
    all_inputs, weights = points(program, 1)
    inputs = all_inputs[0]
    size = 2**qubits
    index = np.arange(size)
    reversed_bits = sum(((index >> i) & 1) << (qubits - 1 - i) for i in range(qubits))
    transform = np.exp(2j * np.pi * np.outer(reversed_bits, index) / size) / np.sqrt(size)
    signs = 1 - 2 * ((index[:, None] >> np.arange(qubits)) & 1)
    phases = np.exp(-0.5j * signs @ weights)
    encoded = np.ones(1)
    for angle in inputs:
        encoded = np.kron([np.cos(angle / 2), np.sin(angle / 2)], encoded)
    state = transform.conj().T @ (phases * (transform @ encoded))
    np.testing.assert_allclose(
        reference_values(program, all_inputs, weights)[0], np.abs(state) ** 2 @ signs, atol=1e-12
    )
    assert dead_weights(program) == []
