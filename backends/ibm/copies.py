"""Copies of a circuit on disjoint patches of one chip, so that many samples run at once.

Patches of one shape (coupling map up to the numbering) share a few transpiled circuits; each patch takes the circuit
and the way of laying it down for which the calibration promises the smallest error, readout in view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from backends.compile import measured, move_observable, place, restrict_target, success, translate, translate_in_place
from backends.contract import CircuitProgram
from backends.devices import Device
from backends.errors import BackendError
from backends.ibm.arrangement import fewest_copies, references_for
from backends.ibm.circuit import ErrorRates, Exposure, HardwareCircuit, Patch, PlacedCopy, compose
from backends.ibm.packing import cliques_of, pack
from backends.ibm.patches import Shape, connected_patches, patches_by_shape

FACTOR = 2.0
"""With ``copies="auto"`` a patch may have this many times the expected error of the best one."""
SPACING = 1
"""Idle qubits between neighbouring patches."""
SEEDS = 8
"""Transpiler seeds for each of the best :data:`SHAPES_IN_DEPTH` shapes; the others get one."""
SHAPES_IN_DEPTH = 6


def place_copies(
    program: CircuitProgram,
    device: Device,
    *,
    copies: int | Literal["auto"] = "auto",
    factor: float = FACTOR,
    spacing: int = SPACING,
    seed: int = 0,
    samples: int | None = None,
    references: int | None = None,
) -> HardwareCircuit:
    """Copies of a program on disjoint patches of a device, in one circuit.

    ``copies="auto"`` takes as many patches as it finds room for among those whose expected error is within ``factor``
    times that of the best, and of such choices the one with the smallest mean squared error; with ``samples`` no more
    than shorten the run (with ``references`` of them on every patch; None: :func:`references_for`). A number takes
    exactly that many, with the smallest mean squared error; 1 is placed as every other backend does, by
    :func:`backends.compile.place`. No qubit of a patch is nearer than ``spacing`` + 1 couplings to a qubit of another.
    Deterministic in ``seed``, the first of the transpiler's seeds.

    Raises :class:`BackendError` for a circuit larger than the device, for a device without a working patch that is
    large enough, for more copies than fit (saying how many do), and for options out of range.
    """
    size = program.circuit.num_qubits
    if size > device.num_qubits:
        raise BackendError(f"the circuit has {size} qubits; {device.name} has {device.num_qubits}")
    if copies != "auto" and copies < 1:
        raise BackendError(f"copies = {copies}; at least 1, or auto")
    if not factor >= 1:
        raise BackendError(f"factor = {factor:g}; at least 1")
    if spacing < 0:
        raise BackendError(f"spacing = {spacing}; at least 0")
    if copies == 1:
        return compose(program, device, [_placed_alone(program, device, seed)])
    options = _options(program, device, seed)
    too_near = cliques_of(device, spacing)
    rates = ErrorRates(device)
    if copies == "auto":
        near = [option for option in options if option.error <= factor * options[0].error]
        chosen = pack(near, too_near)
        enough = len(chosen)
        if samples is not None:
            shared = references_for(samples, len(chosen)) if references is None else references
            enough = fewest_copies(samples, len(chosen), shared)
        if enough < len(chosen):
            chosen = pack(near, too_near, exactly=enough) or chosen[:enough]
    else:
        chosen = pack(options, too_near, exactly=copies) or pack(options, too_near)[:copies]
        if len(chosen) < copies:
            raise BackendError(
                f"{copies} copies of {size} qubits do not fit on {device.name} with {spacing} idle qubits between "
                f"them; {len(chosen)} do"
            )
    placed = [_placed(program, device, rates, option) for option in chosen]
    if copies == "auto":
        # The options were compared with the same gate times everywhere; now each has its own.
        best = _placed(program, device, rates, options[0]).patch.expected_error
        placed = [copy for copy in placed if copy.patch.expected_error <= factor * best]
    if len(placed) < 2:
        return compose(program, device, [_placed_alone(program, device, seed)])
    return compose(program, device, sorted(placed, key=lambda copy: (copy.patch.expected_error, copy.patch.qubits)))


@dataclass(frozen=True)
class _Recipe:
    """The program's circuit transpiled for a shape, and what it exposes the observables to there."""

    circuit: QuantumCircuit
    positions: tuple[int, ...]
    seed: int
    exposure: Exposure


@dataclass(frozen=True)
class _Option:
    """A patch with the best recipe for it."""

    patch: tuple[int, ...]
    error: float
    recipe: _Recipe
    where: tuple[int, ...]
    """Device qubit of each vertex of the recipe's shape."""


def _options(program: CircuitProgram, device: Device, seed: int) -> list[_Option]:
    """All patches, best first, each with the recipe and layout of the smallest expected error."""
    size = program.circuit.num_qubits
    patches = connected_patches(device, size)
    if not patches:
        raise BackendError(
            f"the circuit has {size} qubits and {device.name} has no connected patch of that many working qubits "
            f"({device.num_qubits} in all)"
        )
    rates = ErrorRates(device)
    everywhere = restrict_target(device, range(device.num_qubits))
    first = []
    for shape, layouts in patches_by_shape(patches, device):
        target = _uniform_target(everywhere, shape)
        first.append((_best(layouts, [_recipe(program, target, seed)], rates), target, layouts))
    first.sort(key=lambda found: min(option.error for option in found[0]))
    options = [option for found, *_ in first[SHAPES_IN_DEPTH:] for option in found]
    for found, target, layouts in first[:SHAPES_IN_DEPTH]:
        recipes = [found[0].recipe, *(_recipe(program, target, seed + k) for k in range(1, SEEDS))]
        options += _best(layouts, recipes, rates)
    return sorted(options, key=lambda option: (option.error, option.patch))


def _uniform_target(device: Target, shape: Shape) -> Target:
    """The device's gates on a shape, with the median error and duration everywhere and in both directions."""
    pairs = [(a, b) for a, near in enumerate(shape) for b in sorted(near)]
    target = Target(num_qubits=len(shape), qubit_properties=[QubitProperties()] * len(shape))
    for name in device.operation_names:
        known = [(len(where), props) for where, props in device[name].items()]
        places: list[tuple[int, ...]] = list(pairs) if known[0][0] == 2 else [(q,) for q in range(len(shape))]
        operation = device.operation_from_name(name)
        properties = None
        if not isinstance(operation, Delay):
            durations, errors = ([getattr(props, what) or 0.0 for _, props in known] for what in ("duration", "error"))
            properties = InstructionProperties(duration=median(durations), error=median(errors))
        if places:
            target.add_instruction(operation, dict.fromkeys(places, properties), name=name)
    return target


def _recipe(program: CircuitProgram, target: Target, seed: int) -> _Recipe:
    translated = translate(program.circuit, target, seed)
    positions = tuple(translated.layout.final_index_layout()) if translated.layout else tuple(range(target.num_qubits))
    circuit = QuantumCircuit(target.num_qubits).compose(translated)
    observables = [move_observable(observable, positions, target.num_qubits) for observable in program.observables]
    return _Recipe(circuit, positions, seed, Exposure(circuit, target, observables))


def _best(layouts: Sequence[NDArray[np.int64]], recipes: Sequence[_Recipe], rates: ErrorRates) -> list[_Option]:
    """For each patch the recipe and layout with the smallest expected error."""
    ends = np.cumsum([len(ways) for ways in layouts])
    everywhere = np.concatenate(list(layouts))
    errors = np.stack([recipe.exposure.errors(rates, everywhere) for recipe in recipes])
    options = []
    for ways, end in zip(layouts, ends, strict=True):
        own = errors[:, end - len(ways) : end]
        recipe, way = divmod(int(own.argmin()), len(ways))
        where = tuple(int(q) for q in ways[way])
        options.append(_Option(tuple(sorted(where)), float(own[recipe, way]), recipes[recipe], where))
    return options


def _placed(program: CircuitProgram, device: Device, rates: ErrorRates, option: _Option) -> PlacedCopy:
    target = restrict_target(device, option.patch)
    local = [option.patch.index(qubit) for qubit in option.where]
    circuit = QuantumCircuit(len(local)).compose(option.recipe.circuit, qubits=local)
    if not _is_native(circuit, target):
        circuit = QuantumCircuit(len(local)).compose(translate_in_place(circuit, target))
    positions = [local[position] for position in option.recipe.positions]
    return _copy(program, rates, circuit, target, option.patch, positions, option.recipe.seed)


def _placed_alone(program: CircuitProgram, device: Device, seed: int) -> PlacedCopy:
    placement = place(program.circuit, device, seed)
    return _copy(
        program,
        ErrorRates(device),
        placement.circuit,
        placement.target,
        placement.patch,
        placement.positions,
        placement.seed_transpiler,
    )


def _copy(
    program: CircuitProgram,
    rates: ErrorRates,
    circuit: QuantumCircuit,
    target: Target,
    patch: tuple[int, ...],
    positions: Sequence[int],
    seed_transpiler: int,
) -> PlacedCopy:
    device = rates.device
    observables = [move_observable(observable, positions, len(patch)) for observable in program.observables]
    error = Exposure(circuit, target, observables).errors(rates, np.array([patch]))[0]
    about = Patch(
        qubits=patch,
        physical_qubits=tuple(patch[position] for position in positions),
        expected_error=float(error),
        score=success(measured(circuit), target, [device.readout_error(qubit) for qubit in patch]),
        seed_transpiler=seed_transpiler,
        readout=tuple(device.readout[qubit] for qubit in patch),
        two_qubit_errors=tuple((a, b, e) for (a, b), e in sorted(device.edges.items()) if {a, b} <= set(patch)),
    )
    return PlacedCopy(circuit, target, about)


def _is_native(circuit: QuantumCircuit, target: Target) -> bool:
    return all(
        target.instruction_supported(item.operation.name, tuple(circuit.find_bit(q).index for q in item.qubits))
        for item in circuit.data
        if item.operation.name != "barrier"
    )
