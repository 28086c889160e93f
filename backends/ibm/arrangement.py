"""Which sample runs in which slot, when many run at once: a parameter set and a copy of the circuit each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit.circuit import Parameter

from backends.contract import FloatArray
from backends.errors import BackendError
from backends.ibm.circuit import HardwareCircuit

REFERENCES = 4
"""Samples that run on every patch, where the run is long enough."""
REFERENCE_SHARE = 1 / 3
"""Most of the parameter sets that reference samples may take, where their number is not asked for."""
SUSPECT = 3.0
"""A patch is suspect when its references are this many standard errors (rms) from the other patches' median …"""
OUTLIER = 2.5
"""… and this many times as far as those of the patch in the middle."""
EXACT = 1e-6
"""Least standard error that a deviation is measured in, for values without shot noise."""


def rows_needed(samples: int, copies: int, references: int = REFERENCES) -> int:
    """Parameter sets that ``samples`` take on so many copies, with some of them on every copy."""
    shared = _shared(samples, copies, references)
    return shared + math.ceil((samples - shared) / copies)


def references_for(samples: int, copies: int) -> int:
    """Return how many reference samples a run has where nobody says: at most :data:`REFERENCES`, and none that would
    take more than a third of the parameter sets."""
    for references in range(REFERENCES, 0, -1):
        if references <= REFERENCE_SHARE * rows_needed(samples, copies, references):
            return references
    return 0


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

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` reads it back."""
        return {
            "samples": self.samples,
            "references": list(self.references),
            "table": self.table.tolist(),
            "home": self.home.tolist(),
        }

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Arrangement:
        """From :meth:`as_dict`."""
        table, home = (np.array(kept[name], dtype=np.int64) for name in ("table", "home"))
        return cls(kept["samples"], tuple(kept["references"]), table, home)

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
