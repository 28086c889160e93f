"""Patches of a device: connected sets of working qubits, and those of one shape with the ways to lay it on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from backends.devices import UNUSABLE_ERROR, Device

PATCHES = 8000
"""About how many patches of a device are looked at where there are more."""
SHAPES = 24
"""Most shapes of patches that are tried, those with most couplings first."""
LAYOUTS = 48
"""Most ways to lay one shape on one patch that are compared."""

Shape = tuple[frozenset[int], ...]
"""A shape: for each vertex its neighbours."""


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
    usable = {q for q in range(device.num_qubits) if (q,) in readable and device.readout_error(q) < UNUSABLE_ERROR}
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


def patches_by_shape(patches: Sequence[tuple[int, ...]], device: Device) -> list[tuple[Shape, list[NDArray[np.int64]]]]:
    """Shapes with the ways to lay them on each patch of that shape: device qubit of each vertex, shape (M, n)."""
    neighbours = _working(device)
    found: dict[tuple[object, ...], list[tuple[Shape, list[NDArray[np.int64]]]]] = {}
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


def _invariant(shape: Shape) -> tuple[object, ...]:
    return tuple(sorted((len(near), tuple(sorted(len(shape[v]) for v in near))) for near in shape))


def _isomorphisms(shape: Shape, other: Shape) -> Iterator[tuple[int, ...]]:
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
