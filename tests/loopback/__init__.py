"""A server on 127.0.0.1 that answers the unmodified qiskit-ibm-runtime client and runs its jobs on Aer.

It speaks the part of the service's REST protocol that the client uses: tokens, instances and plans, devices with their
stored configuration and calibration under ``ibm_*`` names, usage and quota, jobs of the program ``executor`` with their
results, metrics, logs, tags and cancelling, batches and sessions. It checks the API key at the token service and the
access token and the instance everywhere else, and logs every request. It keeps its jobs in a folder, runs in a thread
of a test or as a process of its own (``python -m loopback``, :class:`LoopbackProcess`), and misbehaves when told to
(:mod:`loopback.faults`).

Two routes lead here (:func:`client_environment`): as through a proxy, where the client believes that it speaks to
``http://*.ibm.test``, and directly.

What it does not model
----------------------
- Noise: crosstalk, drift, leakage, and relaxation of idle qubits (delays are skipped). A qubit that no two-qubit gate
  touches suffers readout error only. Connected parts of more than 10 qubits are not simulated with noise.
- Time: a job takes as long as Aer takes and ``run_seconds``; charged are 2 s a sub-job, what a circuit is set to cost
  and 250 µs an execution, whatever the circuit's duration. Failed and cancelled jobs are charged nothing, jobs over
  their time limit just the limit.
- Fractional gates: rx alone, where the stored calibration has its errors.
- Dry runs: every device has a ``mock_`` twin, whose jobs give random bits, cost nothing and are checked for nothing
  but that they can be read.
- Queues: one device, one job at a time, first come first served; batches have no precedence and do not expire.
- Limits on size, number of executions, pending jobs and request rate, unless a fault says so.
- Other programs than ``executor``, deleting jobs, private jobs' loss of results, workloads, calibration
  ids, past calibrations (``updated_before`` is ignored), more than one instance of a service (two services are two).
- TLS, and everything that IBM has in front of the service (a web firewall refuses some requests there).

The numbers of errors are IBM's where the registry at quantum.cloud.ibm.com/docs/errors gives them; texts and bodies are
like IBM's, not copies. It creates no job when it answers 5xx, because the client repeats such requests by itself; the
fault ``made_but_503`` breaks that promise.
"""

from loopback.faults import KINDS, Fault, Faults
from loopback.http import CRN, Request
from loopback.jobs import EXECUTION_SECONDS, JOB_SECONDS, Batch, Job
from loopback.process import LoopbackProcess
from loopback.server import Loopback, client_environment

__all__ = [
    "CRN",
    "EXECUTION_SECONDS",
    "JOB_SECONDS",
    "KINDS",
    "Batch",
    "Fault",
    "Faults",
    "Job",
    "Loopback",
    "LoopbackProcess",
    "Request",
    "client_environment",
]
