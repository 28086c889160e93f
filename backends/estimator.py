"""A Qiskit estimator over any backend, so that stock code (``EstimatorQNN``, gradients) runs on all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.primitive_job import PrimitiveJob
from qiskit.quantum_info import SparsePauliOp

from backends.contract import Backend, BackendResult, CircuitProgram, CompiledCircuit, FloatArray

CACHED_CIRCUITS = 32
"""Compiled circuits kept; the least recently used goes first."""

_Terms = tuple[tuple[str, float], ...]


class BackendEstimator(BaseEstimatorV2):
    """``BaseEstimatorV2`` over an opened backend: readout error, layout and shots are the backend's.

    ``precision`` is ignored, because shots belong to the backend's name (``EstimatorQNN`` always sends one, which
    would silently override the shots asked for). All PUBs of one ``run`` that share a circuit are run together: their
    distinct parameter sets once, all their observables jointly. Circuits are recognised by identity and must not be
    changed in place after their first run.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._compiled: OrderedDict[tuple[int, tuple[_Terms, ...]], tuple[QuantumCircuit, CompiledCircuit]]
        self._compiled = OrderedDict()

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Run PUBs (circuit, observables, parameter values); ``evs`` and ``stds`` have the broadcast shape.

        Raises :class:`backends.errors.BackendError` from ``result()`` where a circuit does not fit the backend.
        """
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        job: PrimitiveJob[PrimitiveResult[PubResult]] = PrimitiveJob(self._run, coerced)
        job._submit()
        return job

    def _run(self, pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
        by_circuit: dict[int, list[int]] = {}
        for index, pub in enumerate(pubs):
            by_circuit.setdefault(id(pub.circuit), []).append(index)
        results: dict[int, PubResult] = {}
        for indices in by_circuit.values():
            results.update(zip(indices, self._run_circuit([pubs[i] for i in indices]), strict=True))
        return PrimitiveResult([results[i] for i in range(len(pubs))], metadata={"version": 2})

    def _run_circuit(self, pubs: list[EstimatorPub]) -> list[PubResult]:
        circuit = pubs[0].circuit
        width = len(circuit.parameters)
        tables = [_table(pub, width) for pub in pubs]
        everything = np.concatenate(tables)
        if width:
            rows, where = np.unique(everything, axis=0, return_inverse=True)
        else:
            rows, where = everything[:1], np.zeros(len(everything), dtype=np.int64)
        terms = dict.fromkeys(_terms(observable) for pub in pubs for observable in pub.observables.ravel())
        columns = {key: k for k, key in enumerate(terms)}
        compiled = self._compile(circuit, tuple(columns))
        result = self.backend.run(compiled, rows, np.zeros(0))
        where = where.reshape(-1)
        parts, start = [], 0
        for pub, table in zip(pubs, tables, strict=True):
            parts.append(_pub_result(pub, result, where[start : start + len(table)], columns))
            start += len(table)
        return parts

    def _compile(self, circuit: QuantumCircuit, observables: tuple[_Terms, ...]) -> CompiledCircuit:
        key = (id(circuit), observables)
        if key not in self._compiled:
            operators = tuple(SparsePauliOp.from_list(list(terms)) for terms in observables)
            program = CircuitProgram(circuit, tuple(circuit.parameters), (), operators)
            self._compiled[key] = (circuit, self.backend.compile(program))
            while len(self._compiled) > CACHED_CIRCUITS:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return self._compiled[key][1]


def _table(pub: EstimatorPub, width: int) -> FloatArray:
    sets = pub.parameter_values.as_array(pub.circuit.parameters)
    return np.asarray(sets, dtype=np.float64).reshape(pub.parameter_values.size, width)


def _terms(observable: dict[str, float]) -> _Terms:
    return tuple(sorted((label, float(coefficient)) for label, coefficient in observable.items()))


def _pub_result(
    pub: EstimatorPub, result: BackendResult, rows: NDArray[np.int64], columns: dict[_Terms, int]
) -> PubResult:
    row = rows.reshape(pub.parameter_values.shape)
    column = np.array([columns[_terms(o)] for o in pub.observables.ravel()], dtype=np.int64)
    row, column = np.broadcast_arrays(row, column.reshape(pub.observables.shape))
    evs, stds = result.values[row, column], result.standard_errors[row, column]
    return PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), metadata={"record": result.record})
