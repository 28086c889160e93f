"""Many samples at once on one chip: copies of a circuit on disjoint patches, and which sample runs on which.

Patches of one shape (coupling map up to the numbering) share a few transpiled circuits; each patch takes the circuit
and the way of laying it down for which the calibration promises the smallest error, readout in view. Which patches are
taken together is a set packing problem, solved by SciPy's HiGHS.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter
from qiskit.transpiler import InstructionProperties, QubitProperties, Target, generate_preset_pass_manager
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from backends.compile import move_observable, place, restrict_target, translate_in_place
from backends.contract import CircuitProgram, FloatArray
from backends.devices import BROKEN, Device
from backends.errors import BackendError
from backends.ibm.circuit import ErrorRates, Exposure, HardwareCircuit, Patch, PlacedCopy, compose

FACTOR = 2.0
"""With ``copies="auto"`` a patch may have this many times the expected error of the best one."""
SPACING = 1
"""Idle qubits between neighbouring patches."""
REFERENCES = 4
"""Samples that run on every patch."""
PATCHES = 8000
"""About how many patches of a device are looked at where there are more."""
SHAPES = 24
"""Most shapes of patches that are tried, those with most couplings first."""
SEEDS = 8
"""Transpiler seeds for each of the best :data:`SHAPES_IN_DEPTH` shapes; the others get one."""
SHAPES_IN_DEPTH = 6
LAYOUTS = 48
"""Most ways to lay one shape on one patch that are compared."""
CHOICES = 12
"""Best patches of each qubit that take part in the packing."""
NODES = 50
"""Branches of the packing search; what it has found by then is taken."""
SUSPECT = 3.0
"""A patch is suspect when its references are this many standard errors (rms) from the other patches' median …"""
OUTLIER = 2.5
"""… and this many times as far as those of the patch in the middle."""
EXACT = 1e-6
"""Least standard error that a deviation is measured in, for values without shot noise."""

_Vertices = tuple[frozenset[int], ...]
"""A shape: for each vertex its neighbours."""


def place_copies(
    program: CircuitProgram,
    device: Device,
    *,
    copies: int | Literal["auto"] = "auto",
    factor: float = FACTOR,
    spacing: int = SPACING,
    seed: int = 0,
    samples: int | None = None,
    references: int = REFERENCES,
) -> HardwareCircuit:
    """Copies of a program on disjoint patches of a device, in one circuit.

    ``copies="auto"`` takes as many patches as it finds room for among those whose expected error is within ``factor``
    times that of the best, and of such choices the one with the smallest mean squared error; with ``samples`` no more
    than shorten the run (with ``references`` of them on every patch). A number takes exactly that many, with the
    smallest mean squared error; 1 is placed as every other backend does, by :func:`backends.compile.place`. No qubit
    of a patch is nearer than ``spacing`` + 1 couplings to a qubit of another. Deterministic in ``seed``, the first of
    the transpiler's seeds.

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
    cliques = _cliques(device, spacing)
    rates = ErrorRates(device)
    if copies == "auto":
        near = [option for option in options if option.error <= factor * options[0].error]
        chosen = _pack(near, cliques)
        enough = len(chosen) if samples is None else fewest_copies(samples, len(chosen), references)
        if enough < len(chosen):
            chosen = _pack(near, cliques, exactly=enough) or chosen[:enough]
    else:
        chosen = _pack(options, cliques, exactly=copies) or _pack(options, cliques)[:copies]
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
    for shape, layouts in _by_shape(patches, device):
        target = _uniform_target(everywhere, shape)
        first.append((_best(layouts, [_recipe(program, target, seed)], rates), target, layouts))
    first.sort(key=lambda found: min(option.error for option in found[0]))
    options = [option for found, *_ in first[SHAPES_IN_DEPTH:] for option in found]
    for found, target, layouts in first[:SHAPES_IN_DEPTH]:
        recipes = [found[0].recipe, *(_recipe(program, target, seed + k) for k in range(1, SEEDS))]
        options += _best(layouts, recipes, rates)
    return sorted(options, key=lambda option: (option.error, option.patch))


def connected_patches(device: Device, size: int, limit: int = PATCHES) -> list[tuple[int, ...]]:
    """Connected sets of ``size`` working qubits, each ascending; all of them where they are no more than ``limit``.

    Grown by one qubit at a time; where there are more, those with the smallest errors go on, an equal share for each
    lowest qubit, so that the whole device stays covered.
    """
    neighbours = _working(device)
    sets = {frozenset({qubit}) for qubit in neighbours}
    for _ in range(size - 1):
        sets = {known | {other} for known in sets for qubit in known for other in neighbours[qubit] - known}
        if len(sets) > limit:
            sets = _share(sets, neighbours, device, max(1, limit // len(neighbours)))
    return sorted(tuple(sorted(known)) for known in sets)


def _working(device: Device) -> dict[int, set[int]]:
    """The working neighbours of each working qubit."""
    readable = device.target["measure"]
    usable = {q for q in range(device.num_qubits) if (q,) in readable and device.readout_error(q) < BROKEN}
    neighbours: dict[int, set[int]] = {qubit: set() for qubit in sorted(usable)}
    for a, b in device.edges:
        if a in usable and b in usable:
            neighbours[a].add(b)
            neighbours[b].add(a)
    return neighbours


def _share(
    sets: set[frozenset[int]], neighbours: Mapping[int, set[int]], device: Device, each: int
) -> set[frozenset[int]]:
    def cost(known: frozenset[int]) -> float:
        inside = [device.edges[a, b] for a in known for b in neighbours[a] & known if a < b]
        return sum(map(device.readout_error, known)) + len(known) * sum(inside) / len(inside)

    by_lowest: dict[int, list[tuple[float, list[int]]]] = {}
    for known in sets:
        by_lowest.setdefault(min(known), []).append((cost(known), sorted(known)))
    return {frozenset(known) for group in by_lowest.values() for _, known in sorted(group)[:each]}


def _by_shape(patches: Sequence[tuple[int, ...]], device: Device) -> list[tuple[_Vertices, list[NDArray[np.int64]]]]:
    """Shapes with the ways to lay them on each patch of that shape: device qubit of each vertex, shape (M, n)."""
    neighbours = _working(device)
    found: dict[tuple[object, ...], list[tuple[_Vertices, list[NDArray[np.int64]]]]] = {}
    for patch in patches:
        index = {qubit: i for i, qubit in enumerate(patch)}
        own = tuple(frozenset(index[q] for q in neighbours[qubit] if q in index) for qubit in patch)
        alike = found.setdefault(_invariant(own), [])
        for shape, layouts in alike:
            ways = list(islice(_isomorphisms(shape, own), LAYOUTS))
            if ways:
                layouts.append(np.array(patch)[np.array(ways)])
                break
        else:
            ways = list(islice(_isomorphisms(own, own), LAYOUTS))
            alike.append((own, [np.array(patch)[np.array(ways)]]))
    shapes = [entry for alike in found.values() for entry in alike]
    return sorted(shapes, key=lambda entry: (-sum(map(len, entry[0])), -len(entry[1])))[:SHAPES]


def _invariant(shape: _Vertices) -> tuple[object, ...]:
    return tuple(sorted((len(near), tuple(sorted(len(shape[v]) for v in near))) for near in shape))


def _isomorphisms(shape: _Vertices, other: _Vertices) -> Iterator[tuple[int, ...]]:
    """Each way to number ``other`` like ``shape``: for each vertex of the connected ``shape`` one of ``other``."""
    order = [0]
    while len(order) < len(shape):
        order.append(min(v for v in range(len(shape)) if v not in order and shape[v].intersection(order)))

    def extend(assigned: dict[int, int]) -> Iterator[tuple[int, ...]]:
        if len(assigned) == len(shape):
            yield tuple(assigned[v] for v in range(len(shape)))
            return
        vertex = order[len(assigned)]
        known = shape[vertex].intersection(assigned)
        for candidate in sorted(set(range(len(other))) - set(assigned.values())):
            fits = len(other[candidate]) == len(shape[vertex])
            if fits and other[candidate].intersection(assigned.values()) == {assigned[v] for v in known}:
                yield from extend({**assigned, vertex: candidate})

    return extend({})


def _uniform_target(device: Target, shape: _Vertices) -> Target:
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
    translated = generate_preset_pass_manager(3, target=target, seed_transpiler=seed).run(program.circuit)
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


def _cliques(device: Device, spacing: int) -> list[set[int]]:
    """Sets of qubits of which only one patch may touch any: then two patches have ``spacing`` idle qubits between.

    Two patches are too near exactly when both touch a ball around a qubit (even spacing) or a coupling (odd), working
    or not.
    """
    near: dict[int, set[int]] = {qubit: {qubit} for qubit in range(device.num_qubits)}
    pairs = {tuple(sorted(pair)) for pair in (device.target[device.entangler] if device.entangler else ())}
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    balls = {qubit: {qubit} for qubit in near}
    for _ in range(spacing // 2):
        balls = {qubit: set().union(*(near[q] for q in ball)) for qubit, ball in balls.items()}
    return [*balls.values(), *(balls[a] | balls[b] for a, b in sorted(pairs) if spacing % 2)]


def _pack(options: Sequence[_Option], cliques: Sequence[set[int]], exactly: int | None = None) -> list[_Option]:
    """As many patches as the cliques allow, or ``exactly`` so many (none where they do not fit), with small errors.

    ``options`` come best first.
    """
    options = _share_of_each_qubit(options)
    touched: dict[int, list[int]] = {}
    for row, clique in enumerate(cliques):
        for qubit in clique:
            touched.setdefault(qubit, []).append(row)
    matrix = np.zeros((len(cliques), len(options)), dtype=np.int64)
    for column, option in enumerate(options):
        matrix[sorted({row for qubit in option.patch for row in touched[qubit]}), column] = 1
    squares = np.array([option.error for option in options]) ** 2
    squares = squares / squares.max() if squares.max() else squares
    constraints = [LinearConstraint(csr_array(matrix), -np.inf, 1)]
    if exactly is None:
        most = len(set().union(*cliques)) // len(options[0].patch) + 1
        cost = squares / most - 1
    else:
        cost = squares
        constraints.append(LinearConstraint(np.ones((1, len(options))), exactly, exactly))
    result = milp(
        cost,
        constraints=constraints,
        integrality=np.ones(len(options), dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"node_limit": NODES, "mip_rel_gap": 1e-3},
    )
    packed = [] if result.x is None else [o for o, taken in zip(options, result.x, strict=True) if taken > 0.5]
    greedy = _greedy(options, matrix, exactly)
    return greedy if len(greedy) > len(packed) else packed


def _share_of_each_qubit(options: Sequence[_Option]) -> list[_Option]:
    counts: Counter[int] = Counter()
    kept = []
    for option in options:
        if any(counts[qubit] < CHOICES for qubit in option.patch):
            counts.update(option.patch)
            kept.append(option)
    return kept


def _greedy(options: Sequence[_Option], matrix: NDArray[np.int64], exactly: int | None) -> list[_Option]:
    """The best patch, then the best of those it leaves free, and so on."""
    used = np.zeros(len(matrix), dtype=np.int64)
    taken: list[_Option] = []
    for option, touches in zip(options, matrix.T, strict=True):
        if len(taken) != exactly and not (used & touches).any():
            used |= touches
            taken.append(option)
    return taken if exactly is None or len(taken) == exactly else []


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
        score=_success(circuit, target, [device.readout_error(qubit) for qubit in patch]),
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


def _success(circuit: QuantumCircuit, target: Target, readout: Sequence[float]) -> float:
    """Probability that no gate and no readout errs."""
    errors = list(readout)
    for item in circuit.data:
        if item.operation.name != "barrier":
            properties = target[item.operation.name].get(tuple(circuit.find_bit(q).index for q in item.qubits))
            errors.append(getattr(properties, "error", None) or 0.0)
    return math.exp(sum(math.log1p(-min(error, BROKEN)) for error in errors))


def rows_needed(samples: int, copies: int, references: int = REFERENCES) -> int:
    """Parameter sets that ``samples`` take on so many copies, with some of them on every copy."""
    shared = _shared(samples, copies, references)
    return shared + math.ceil((samples - shared) / copies)


def fewest_copies(samples: int, copies: int, references: int = REFERENCES) -> int:
    """The fewest copies with which ``samples`` take no more rows than with ``copies``; at least 1."""
    rows = rows_needed(samples, copies, references)
    return next((c for c in range(1, copies) if rows_needed(samples, c, references) <= rows), copies)


def _shared(samples: int, copies: int, references: int) -> int:
    return min(references, samples) if copies > 1 else 0


@dataclass(frozen=True)
class PatchCheck:
    """How one patch read the reference samples, against the median of the other patches."""

    mean: float
    """Mean deviation of the observables."""
    rms: float
    """Root mean square deviation."""
    rms_in_errors: float
    """The same, each deviation in units of its standard error."""
    suspect: bool
    """``rms_in_errors`` above :data:`SUSPECT` and above :data:`OUTLIER` times the median over all patches; at least
    three patches are needed to tell which one is wrong."""


@dataclass(frozen=True)
class Collected:
    """Values and standard errors of the samples, both (N, K), and what the reference samples say of each patch."""

    values: FloatArray
    errors: FloatArray
    patches: tuple[PatchCheck, ...]
    """One for each copy; empty where there are no reference samples or only one copy."""


@dataclass(frozen=True)
class Arrangement:
    """Which sample runs in which slot: row (parameter set) and copy."""

    samples: int
    references: tuple[int, ...]
    """Samples that run on every copy."""
    table: NDArray[np.int64]
    """The sample of each slot, shape (R, C)."""
    home: NDArray[np.int64]
    """Row and copy whose value counts for each sample, shape (N, 2)."""

    @property
    def rows(self) -> int:
        """Parameter sets R."""
        return len(self.table)

    @property
    def copies(self) -> int:
        """Copies C."""
        return int(self.table.shape[1])

    def values(self, compiled: HardwareCircuit, inputs: ArrayLike, weights: ArrayLike) -> FloatArray:
        """Parameter values (R, P) in the order of ``compiled.circuit.parameters``, from inputs (N, X), weights (W,).

        Raises ``ValueError`` when a shape or the number of copies does not fit.
        """
        x, w = np.asarray(inputs, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        program = compiled.program
        if x.shape != (self.samples, len(program.inputs)):
            raise ValueError(f"inputs have shape {x.shape}, expected {(self.samples, len(program.inputs))}")
        if w.shape != (len(program.weights),):
            raise ValueError(f"weights have shape {w.shape}, expected {(len(program.weights),)}")
        if len(compiled.copy_inputs) != self.copies:
            raise ValueError(f"the circuit has {len(compiled.copy_inputs)} copies, the arrangement {self.copies}")
        columns: dict[Parameter, FloatArray] = {
            parameter: np.broadcast_to(value, self.rows) for parameter, value in zip(program.weights, w, strict=True)
        }
        for copy, own in enumerate(compiled.copy_inputs):
            columns |= dict(zip(own, x[self.table[:, copy]].T, strict=True))
        ordered = [columns[parameter] for parameter in compiled.circuit.parameters]
        return np.stack(ordered, axis=1) if ordered else np.zeros((self.rows, 0))

    def collect(self, evs: ArrayLike, stds: ArrayLike) -> Collected:
        """Sort the values of all copies, both (R, C*K) copy by copy, back to the samples.

        Raises ``ValueError`` when a shape does not fit.
        """
        values, errors = (np.asarray(array, dtype=np.float64) for array in (evs, stds))
        if (
            values.ndim != 2
            or values.shape != errors.shape
            or len(values) != self.rows
            or values.shape[1] % self.copies
        ):
            raise ValueError(
                f"values have shape {values.shape} and errors {errors.shape}, expected ({self.rows}, {self.copies}·K)"
            )
        values, errors = (array.reshape(self.rows, self.copies, -1) for array in (values, errors))
        rows, copies = self.home.T
        return Collected(values[rows, copies], errors[rows, copies], self._check(values, errors))

    def _check(self, values: FloatArray, errors: FloatArray) -> tuple[PatchCheck, ...]:
        if self.copies < 2 or not self.references:
            return ()
        shape = (len(self.references), self.copies, values.shape[2])
        means, squares = np.zeros(shape), np.zeros(shape)
        for i, sample in enumerate(self.references):
            for copy in range(self.copies):
                rows = self.table[:, copy] == sample
                means[i, copy] = values[rows, copy].mean(axis=0)
                squares[i, copy] = (errors[rows, copy] ** 2).sum(axis=0) / rows.sum() ** 2
        found = []
        for copy in range(self.copies):
            others = np.arange(self.copies) != copy
            deviations = means[:, copy] - np.median(means[:, others], axis=1)
            # The median of n normal values has π/2 times the variance of their mean.
            variances = squares[:, copy] + np.pi / 2 * squares[:, others].mean(axis=1) / others.sum()
            in_errors = deviations / np.sqrt(np.maximum(variances, EXACT**2))
            found.append((deviations.mean(), *(np.sqrt((d**2).mean()) for d in (deviations, in_errors))))
        limit = max(SUSPECT, OUTLIER * median(rms for *_, rms in found))
        return tuple(
            PatchCheck(float(mean), float(rms), float(units), bool(self.copies > 2 and units > limit))
            for mean, rms, units in found
        )


def arrange(samples: int, copies: int, *, references: int = REFERENCES, seed: int = 0) -> Arrangement:
    """Put every sample in one slot at random, and ``references`` of them, drawn at random, on every copy as well.

    It sees nothing of the samples but their number. A reference sample has a row of its own, with all copies at once,
    and one of them, drawn at random, counts as its value, so that all samples are measured alike; these rows are spread
    evenly over the run. Slots left over repeat the reference samples. One copy needs no references.

    Raises :class:`BackendError` for fewer than one sample or copy, or a negative number of references.
    """
    for name, value, least in (("samples", samples, 1), ("copies", copies, 1), ("references", references, 0)):
        if value < least:
            raise BackendError(f"{name} = {value}; at least {least}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(samples)
    shared = _shared(samples, copies, references)
    rows = rows_needed(samples, copies, references)
    chosen, rest = order[:shared], order[shared:]
    own_rows = np.arange(shared) * rows // max(1, shared)
    other_rows = np.setdiff1d(np.arange(rows), own_rows)
    slots = rng.permutation(len(other_rows) * copies)
    filled = np.empty(len(slots), dtype=np.int64)
    filled[slots[: len(rest)]] = rest
    filled[slots[len(rest) :]] = np.resize(chosen if shared else order, len(slots) - len(rest))
    table = np.empty((rows, copies), dtype=np.int64)
    table[own_rows] = chosen[:, None]
    table[other_rows] = filled.reshape(-1, copies)
    home = np.empty((samples, 2), dtype=np.int64)
    home[chosen] = np.stack([own_rows, rng.integers(copies, size=shared)], axis=1)
    home[rest] = np.stack([other_rows[slots[: len(rest)] // copies], slots[: len(rest)] % copies], axis=1)
    return Arrangement(samples, tuple(int(sample) for sample in chosen), table, home)
