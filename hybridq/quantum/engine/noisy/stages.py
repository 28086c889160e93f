"""Rotations and channels as few stages: single-qubit chains with angles, fixed blocks, rotations of several qubits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from qiskit.circuit import Parameter

from hybridq.quantum.engine.expressions import depends_on
from hybridq.quantum.engine.lower import Rotation
from hybridq.quantum.engine.noisy.transfer import Channel, combined

Item: TypeAlias = Rotation | Channel
Chain: TypeAlias = list[Item]

_LARGEST_MERGED = 4  # qubits: up to here all that is fixed between two layers is one matrix of at most 256 x 256
_LARGEST_BLOCK = 3  # qubits of a block in a larger register


@dataclass
class ChainStage:
    """For each qubit rotations and channels on it alone, the first one first."""

    chains: list[Chain]


@dataclass
class FixedStage:
    """Channels that depend on no angle, the first one first."""

    channels: list[Channel]


@dataclass(frozen=True)
class TurnStage:
    """A rotation of several qubits."""

    rotation: Rotation


Stage: TypeAlias = ChainStage | FixedStage | TurnStage


def split_encoding(
    items: Sequence[Item], num_qubits: int, inputs: Sequence[Parameter]
) -> tuple[list[Chain], list[Item]]:
    """What acts on each qubit alone up to its last input angle, and the rest in order.

    Only items before a qubit's first item of several qubits count, so that the first part gives a product state.
    """
    leading: list[Chain] = [[] for _ in range(num_qubits)]
    entangled: set[int] = set()
    rest: list[Item] = []
    for item in items:
        if len(item.qubits) == 1 and item.qubits[0] not in entangled:
            leading[item.qubits[0]].append(item)
        else:
            entangled.update(item.qubits)
            rest.append(item)
    behind: list[Item] = []
    for chain in leading:
        last = max((i for i, item in enumerate(chain) if is_encoding(item, inputs)), default=-1)
        behind += chain[last + 1 :]
        del chain[last + 1 :]
    return leading, behind + rest


def is_encoding(item: Item, inputs: Sequence[Parameter]) -> bool:
    """Whether the item is a rotation whose angle depends on an input."""
    return isinstance(item, Rotation) and depends_on(item.angle, inputs)


def schedule_noisy(items: Sequence[Item], num_qubits: int) -> tuple[list[Stage], list[Channel]]:
    """The stages whose product is the circuit, and the channels after the last of them."""
    building = _Building(num_qubits)
    for item in items:
        if len(item.qubits) > 1:
            building.add_joint(item)
        elif isinstance(item, Channel):
            building.waiting[item.qubits[0]].append(item)
        else:
            building.add_rotation(item, item.qubits[0])
    stages, final = building.stages, list[Channel]()
    if stages and isinstance(stages[-1], FixedStage):
        final = stages[-1].channels
        stages = stages[:-1]
    return stages, final + [channel for channels in building.waiting for channel in channels]


@dataclass
class _Building:
    num_qubits: int
    stages: list[Stage] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    """The last stage that touches a qubit."""
    waiting: list[list[Channel]] = field(init=False)
    """Channels on one qubit alone, which go where the next item on that qubit goes."""

    def __post_init__(self) -> None:
        self.waiting = [[] for _ in range(self.num_qubits)]

    def add_rotation(self, rotation: Rotation, qubit: int) -> None:
        place = self._place(ChainStage, (qubit,))
        if place is None:
            place = self._append(ChainStage([[] for _ in range(self.num_qubits)]))
        stage = self.stages[place]
        assert isinstance(stage, ChainStage)
        stage.chains[qubit] += [*self._taken(qubit), rotation]
        self.last[qubit] = place

    def add_joint(self, item: Item) -> None:
        before = [channel for qubit in item.qubits for channel in self._taken(qubit)]
        if isinstance(item, Channel):
            place = self._add_fixed([*before, item], item.qubits)
        else:
            if before:
                touched = tuple(channel.qubits[0] for channel in before)
                self.last.update(dict.fromkeys(touched, self._add_fixed(before, touched)))
            place = self._append(TurnStage(item))
        self.last.update(dict.fromkeys(item.qubits, place))

    def _add_fixed(self, channels: Sequence[Channel], qubits: tuple[int, ...]) -> int:
        place = self._place(FixedStage, qubits)
        if place is None:
            place = self._append(FixedStage([]))
        stage = self.stages[place]
        assert isinstance(stage, FixedStage)
        stage.channels.extend(channels)
        return place

    def _place(self, kind: type[ChainStage] | type[FixedStage], qubits: tuple[int, ...]) -> int | None:
        """The first stage of a kind that comes after, or is, the last one on the qubits."""
        first = max(self.last.get(qubit, 0) for qubit in qubits)
        return next((i for i in range(first, len(self.stages)) if isinstance(self.stages[i], kind)), None)

    def _append(self, stage: Stage) -> int:
        self.stages.append(stage)
        return len(self.stages) - 1

    def _taken(self, qubit: int) -> list[Channel]:
        channels, self.waiting[qubit] = self.waiting[qubit], []
        return channels


def merged(channels: Sequence[Channel], num_qubits: int) -> list[Channel]:
    """The same map as few blocks, one where the register is small."""
    pairs = _blocks(channels, 2)
    if num_qubits > _LARGEST_MERGED:
        return _blocks(pairs, _LARGEST_BLOCK)
    return [Channel(tuple(range(num_qubits)), combined(pairs, range(num_qubits)))]


def _blocks(channels: Sequence[Channel], largest: int) -> list[Channel]:
    groups: list[tuple[tuple[int, ...], list[Channel]]] = []
    for channel in channels:
        # Behind the last group that shares a qubit nothing is in the way.
        place = max((i for i, (qubits, _) in enumerate(groups) if set(qubits) & set(channel.qubits)), default=-1)
        for i in range(max(place, 0), len(groups)):
            qubits, members = groups[i]
            together = tuple(sorted({*qubits, *channel.qubits}))
            if len(together) <= largest:
                groups[i] = (together, [*members, channel])
                break
        else:
            groups.append((channel.qubits, [channel]))
    return [Channel(qubits, combined(members, qubits)) for qubits, members in groups]
