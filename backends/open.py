"""From a name, a Qiskit backend or an Aer noise model to a backend that is ready to compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.contract import Backend
from backends.errors import BackendError
from backends.names import BackendName, parse_name

LISTED = 9
"""Facts that a sentence names at most."""

if TYPE_CHECKING:
    from qiskit.providers import BackendV2
    from qiskit_aer.noise import NoiseModel

    from backends.devices import Device


def open_backend(
    where: str | BackendV2 | NoiseModel, *, seed: int = 0, shots: int | None = None, simulated: bool = False
) -> Backend:
    """Open a backend by its name (see :func:`backends.names.parse_name`), or a Qiskit or Aer object in its place.

    ``seed`` decides simulated shots and the transpiler's seeds; a ``seed=`` in the name goes before it. Opening
    ``ibm_*@noise`` asks the service for the device's calibration of this moment, under which it then runs here.

    An Aer ``NoiseModel`` acts on circuits as in :func:`backends.aer.simulated_under`, exactly or with ``shots``. Of a
    Qiskit ``BackendV2`` without ``shots`` the noise is meant, exactly, as its target or its own noise model states it
    (:func:`backends.facts.facts_of`); nothing is run on it. With ``shots`` its own ``run`` is asked for counts
    (:class:`backends.qiskit_backend.QiskitBackend`), which only simulators are: those of known classes, and those that
    ``simulated`` vouches for. Simulators of Aer are opened as what they simulate.

    Raises :class:`BackendError` for a name that does not exist, for ``ibm_*@noise`` without a working account, for a
    target that states no error of a gate, and for hardware, whose jobs cost quantum time and outlive the process: those
    of ``ibm_*`` are prepared (:mod:`backends.ibm.prepare`), shown, and executed (:mod:`backends.ibm.execution`) under a
    key in the ledger.

    >>> open_backend("fake_torino:shots=1024").name
    'fake_torino:shots=1024'
    >>> open_backend(GenericBackendV2(5), shots=1024).kind
    'simulated device'
    """
    if isinstance(where, str):
        if shots is not None:
            raise BackendError(f"{where}: shots belong in the name, as in aer:shots={shots}")
        return _named(where, seed)
    from qiskit.providers import BackendV2
    from qiskit_aer.noise import NoiseModel

    if shots is not None and shots < 1:
        raise BackendError(f"shots = {shots}; at least 1")
    if isinstance(where, NoiseModel):
        return _under_model(where, seed, shots)
    if not isinstance(where, BackendV2):
        raise BackendError(f"a {type(where).__name__} is no backend; a name, a BackendV2 or an Aer NoiseModel is one")
    return _opened(where, seed, shots, simulated)


def _named(name: str, seed: int) -> Backend:
    parsed = parse_name(name)
    if parsed.kind == "ibm":
        raise BackendError(
            f"{parsed.canonical} is hardware, where every job costs: hybridq evaluate RUN --backend {parsed.canonical} "
            f"plans, asks and submits"
        )
    from backends.aer import AerBackend

    return AerBackend(parsed, seed=seed)


def _under_model(model: NoiseModel, seed: int, shots: int | None) -> Backend:
    from backends.aer import AerBackend
    from backends.noise import model_digest

    return AerBackend(_object(f"noise_model#{model_digest(model)[:8]}", shots), noise=model, seed=seed)


def _opened(backend: BackendV2, seed: int, shots: int | None, simulated: bool) -> Backend:
    from backends.facts import facts_of, is_aer, is_ibm_hardware, is_simulator, noise_model_of

    if is_ibm_hardware(backend):
        name = backend.name
        raise BackendError(
            f"{name} is hardware, where every job costs: its name in hybridq evaluate RUN --backend {name} plans, asks "
            f"and submits, and {name}@noise simulates it"
        )
    if is_aer(backend):
        model = noise_model_of(backend)
        if model is None:
            return _named("aer" if shots is None else f"aer:shots={shots}", seed)
        if backend.coupling_map is None:
            return _under_model(model, seed, shots)
        return _under_facts(facts_of(backend), seed, shots)
    if shots is None:
        return _under_facts(facts_of(backend), seed, None)
    if not (simulated or is_simulator(backend)):
        raise BackendError(
            f"{backend.name} is not known to be a simulator, and jobs on a device cost: nothing is run; if it is one, "
            f"open it with open_backend(…, shots={shots}, simulated=True)"
        )
    from backends.qiskit_backend import QiskitBackend

    return QiskitBackend(backend, shots=shots, seed=seed)


def _under_facts(device: Device, seed: int, shots: int | None) -> Backend:
    """The noise that a device's facts state; a stored device by its name."""
    from dataclasses import replace

    from backends.aer import AerBackend
    from backends.devices import stored_device
    from backends.names import stored_devices
    from backends.qiskit_backend import object_name

    if device.name in stored_devices():
        stored = stored_device(device.name.removeprefix("fake_"))
        if replace(device, name=stored.name, origin=None) == stored:
            return _named(device.name if shots is None else f"{device.name}:shots={shots}", seed)
    if not device.states_gate_errors:
        missing = device.unknown_of_all
        listed = ", ".join(missing if len(missing) <= LISTED else (*missing[: LISTED - 1], "…"))
        raise BackendError(
            f"{device.name} does not state its noise (not known: {listed}); give an Aer NoiseModel in its place, or "
            f"have its shots run: engine = 'aer' in a layer, open_backend(…, shots=N) elsewhere"
        )
    return AerBackend(_object(object_name(device), shots), noise=device, seed=seed)


def _object(name: str, shots: int | None) -> BackendName:
    canonical = name if shots is None else f"{name}:shots={shots}"
    return BackendName(kind="noise", shots=shots, canonical=canonical)
