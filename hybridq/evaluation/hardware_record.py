"""The record of a hardware evaluation: what ran, what it cost, and how far the device moved."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from backends.ibm.arrangement import Collected
from backends.ibm.layers import LayerNoise
from backends.ibm.results import Drift, ExecutionResult
from backends.ibm.task import Submission
from backends.record import versions
from hybridq.evaluation.hardware_plan import HardwarePlan


def record_of(
    evaluation: HardwarePlan, task: Submission, result: ExecutionResult, collected: Collected
) -> dict[str, Any]:
    kept = task.record
    imitation = is_imitation(kept["host"])
    one_copy, whole = kept["circuit"]["copies"][0], kept["circuit"]
    counted = ("depth", "two_qubit_gates", "gate_counts")
    return {
        "backend": evaluation.label,
        "kind": "simulated device" if imitation else "hardware",
        "simulated": imitation,
        **whole,
        **{name: one_copy[name] for name in counted},
        "versions": dict(versions()),
        "seed": evaluation.seed,
        "shots": evaluation.options.circuit_shots,
        "circuits": kept["plan"]["circuits"],
        "executions": kept["plan"]["executions"],
        "job_ids": [job.job_id for job in result.jobs],
        "quantum_seconds": result.charged_seconds,
        "estimated_quantum_seconds": kept["plan"]["quantum_seconds"],
        "seconds": _running_seconds(result),
        "options": evaluation.options.as_dict(),
        "hardware": {
            "service": kept["host"],
            "device": evaluation.device,
            "copies": len(whole["copies"]),
            "whole_circuit": {name: whole[name] for name in counted},
            "rows": len(task.values),
            "options": result.options,
            "jobs": [asdict(job) for job in result.jobs],
            "surplus_jobs": list(result.surplus),
            "other_jobs": [asdict(job) for job in result.others],
            "patches": [
                {
                    "qubits": patch["qubits"],
                    "expected_error": patch["expected_error"],
                    "two_qubit_gates": patch["two_qubit_gates"],
                    **({} if not collected.patches else asdict(collected.patches[copy])),
                }
                for copy, patch in enumerate(whole["copies"])
            ],
            "drift": None if result.drift is None else drift_record(result.drift),
            **({} if result.noise is None else {"layer_noise": noise_record(task, result.noise)}),
            "raw": str(Path("hardware") / evaluation.task_folder.name),
        },
    }


def drift_record(drift: Drift) -> dict[str, float]:
    """How far the first chunk had moved when it was repeated, over all its values ⟨Z⟩ (rms), and what shots explain.

    ``in_errors`` is the rms of the differences in units of their standard errors: about 1 without drift.
    """
    moved = drift.repeated - drift.first
    variance = drift.first_errors**2 + drift.repeated_errors**2
    return {
        "values": float(moved.size),
        "mean": float(moved.mean()),
        "rms": float(np.sqrt((moved**2).mean())),
        "shot_noise": float(np.sqrt(variance.mean())),
        "in_errors": float(np.sqrt((moved**2 / np.maximum(variance, 1e-12)).mean())),
    }


def noise_record(task: Submission, noise: LayerNoise) -> dict[str, Any]:
    """What is known of the noise that values are mitigated with: where it is from, and how much of it PEC leaves.

    ``left`` is the share of the learned rates that is not cancelled, since cancelling all of it takes ``overhead``
    times the shots and no more than ``pec_overhead`` were allowed; None with PEA.
    """
    overhead, allowed = noise.overhead(task.layers.uses), task.options.most_overhead
    left = max(0.0, 1 - np.log(allowed) / np.log(overhead)) if overhead > 1 else 0.0
    return {
        "job_id": noise.job_id,
        "learned": noise.learned,
        "reused": task.noise is not None,
        "layers": len(noise.layers),
        "overhead": round(overhead, 6),
        "left": round(float(left), 6) if task.options.pec else None,
    }


def _running_seconds(result: ExecutionResult) -> float | None:
    """Wall-clock seconds in which the jobs ran, queues left out; None where the service does not say."""
    try:
        times = [
            (datetime.fromisoformat(job.timestamps["running"]), datetime.fromisoformat(job.timestamps["finished"]))
            for job in result.jobs
        ]
    except (KeyError, ValueError):
        return None
    return round(sum((end - start).total_seconds() for start, end in times), 3)


def is_imitation(host: str) -> bool:
    """Whether a host can be no service of IBM's: this machine, or a name reserved for tests (RFC 6761)."""
    if host == "localhost" or host.endswith((".localhost", ".test", ".invalid", ".example")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
