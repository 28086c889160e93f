"""Which patches of a device are taken together: a set packing problem, solved by SciPy's HiGHS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from backends.devices import Device

CHOICES = 12
"""Best patches of each qubit that take part in the packing."""
NODES = 50
"""Branches of the packing search; what it has found by then is taken."""


class Option(Protocol):
    """A patch that may be taken."""

    @property
    def patch(self) -> tuple[int, ...]:
        """Device qubits."""
        ...

    @property
    def error(self) -> float:
        """Expected there."""
        ...


Candidate = TypeVar("Candidate", bound=Option)


def cliques_of(device: Device, spacing: int) -> list[set[int]]:
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


def pack(options: Sequence[Candidate], cliques: Sequence[set[int]], exactly: int | None = None) -> list[Candidate]:
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


def _share_of_each_qubit(options: Sequence[Candidate]) -> list[Candidate]:
    counts: Counter[int] = Counter()
    kept = []
    for option in options:
        if any(counts[qubit] < CHOICES for qubit in option.patch):
            counts.update(option.patch)
            kept.append(option)
    return kept


def _greedy(options: Sequence[Candidate], matrix: NDArray[np.int64], exactly: int | None) -> list[Candidate]:
    """The best patch, then the best of those it leaves free, and so on."""
    used = np.zeros(len(matrix), dtype=np.int64)
    taken: list[Candidate] = []
    for option, touches in zip(options, matrix.T, strict=True):
        if len(taken) != exactly and not (used & touches).any():
            used |= touches
            taken.append(option)
    return taken if exactly is None or len(taken) == exactly else []
