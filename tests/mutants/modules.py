"""The modules that are given faults, the tests of each, and the faults that are not left to the draw."""

from __future__ import annotations

from typing import Final

_STATISTICS: Final = "tests/statistics/test_"
_EVALUATED: Final = (
    "tests/evaluation/test_evaluate.py",
    "tests/results/test_replaced_q.py",
    "tests/pinned/test_pinned_results.py",
)
_OPERATING: Final = ("tests/results/test_operating_points.py",)
_SUBMITTED: Final = (
    "tests/evaluation/test_kept_submissions.py",
    "tests/pinned/test_pinned_keys.py",
    "tests/cli/test_hardware_command.py",
    "tests/test_api.py",
)
_HARDWARE: Final = "tests/backends/test_hardware_"

MODULES: Final[dict[str, tuple[str, ...]]] = {
    "hybridq/training/batches.py": ("tests/training/test_batches.py", "tests/data/test_cache.py"),
    "hybridq/statistics/metrics.py": (f"{_STATISTICS}metrics.py",),
    "hybridq/statistics/bootstrap.py": (f"{_STATISTICS}bootstrap.py", f"{_STATISTICS}metrics.py"),
    "hybridq/statistics/intervals.py": (f"{_STATISTICS}intervals.py", "tests/results/test_comparison.py"),
    "hybridq/statistics/calibration.py": (f"{_STATISTICS}calibration.py",),
    "hybridq/statistics/multilabel.py": (f"{_STATISTICS}multilabel.py",),
    "hybridq/statistics/multilabel_intervals.py": (f"{_STATISTICS}multilabel.py",),
    "hybridq/statistics/ordinal.py": (f"{_STATISTICS}ordinal.py",),
    "hybridq/statistics/operating_point.py": _OPERATING,
    "hybridq/statistics/risk_coverage.py": (f"{_STATISTICS}risk_coverage.py",),
    "hybridq/statistics/scored.py": (f"{_STATISTICS}scored.py", *_OPERATING),
    "hybridq/statistics/significance.py": (f"{_STATISTICS}significance.py",),
    "hybridq/statistics/tasks.py": (f"{_STATISTICS}task_statistics.py",),
    "hybridq/studies/models/paired_tests.py": ("tests/studies/test_table.py",),
    "hybridq/results/evaluation.py": ("tests/results/test_comparison.py", "tests/results/test_replaced_q.py"),
    "hybridq/results/selection.py": (
        *_EVALUATED,
        "tests/evaluation/test_inference.py",
        "tests/pinned/test_pinned_keys.py",
        "tests/cli/test_evaluate_elsewhere.py",
        "tests/cli/test_intensity_range.py",
    ),
    "hybridq/results/comparison.py": (
        "tests/results/test_comparison.py",
        "tests/results/test_hardware_comparison.py",
        "tests/results/test_replaced_q.py",
    ),
    "hybridq/results/device_error.py": ("tests/results/test_hardware_comparison.py",),
    "hybridq/results/manifests.py": (
        "tests/evaluation/test_moved_run.py",
        "tests/cli/test_evaluate_elsewhere.py",
        "tests/cli/test_intensity_range.py",
    ),
    "hybridq/results/operating_points.py": _OPERATING,
    "hybridq/results/replaced_q.py": ("tests/results/test_replaced_q.py", "tests/pinned/test_pinned_results.py"),
    "hybridq/evaluation/evaluate.py": (*_EVALUATED, "tests/evaluation/test_inference.py"),
    "hybridq/evaluation/explanations.py": ("tests/evaluation/test_representations.py",),
    "hybridq/evaluation/hardware.py": _SUBMITTED,
    "hybridq/evaluation/hardware_plan.py": (*_SUBMITTED, "tests/cli/test_jobs_command.py"),
    "hybridq/evaluation/hardware_record.py": (*_SUBMITTED, "tests/results/test_hardware_comparison.py"),
    "hybridq/evaluation/inference.py": ("tests/evaluation/test_inference.py", *_EVALUATED),
    "hybridq/evaluation/predict.py": ("tests/cli/test_predict_command.py",),
    "hybridq/evaluation/representations.py": ("tests/evaluation/test_representations.py",),
    "hybridq/data/splits.py": ("tests/data/test_splits.py",),
    "hybridq/quantum/training_noise.py": ("tests/quantum/test_training_noise.py",),
    "hybridq/quantum/surrogate.py": ("tests/export/test_surrogate.py",),
    "backends/ibm/plan.py": (f"{_HARDWARE}plan.py", f"{_HARDWARE}ledger.py"),
    "backends/ibm/execution.py": (f"{_HARDWARE}execution.py", f"{_HARDWARE}adoption.py"),
    "backends/ibm/ledger.py": (f"{_HARDWARE}ledger.py", f"{_HARDWARE}execution.py", f"{_HARDWARE}adoption.py"),
    "backends/ibm/copies.py": (f"{_HARDWARE}copies.py", f"{_HARDWARE}plan.py"),
    "backends/noise.py": tuple(f"tests/backends/test_backends_{name}.py" for name in ("noise", "scale", "models")),
    "backends/noise_gates.py": ("tests/backends/test_backends_noise_gates.py",),
    "backends/noise_sources.py": ("tests/backends/test_backends_sources.py",),
}

TRAINING: Final = ("hybridq/training/", "hybridq/quantum/", "hybridq/data/")
"""What takes part in training: the run that tests share is trained anew there."""

_BATCHES: Final = "hybridq/training/batches.py"
NAMED: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    _BATCHES: (
        ('generator_at(self._seed, self._stage, epoch, "order")', 'generator_at(self._seed, self._stage, 0, "order")'),
        (
            'generator_at(self._seed, self._stage, epoch, step, "view", number)',
            'generator_at(self._seed, self._stage, 0, step, "view", number)',
        ),
    ),
    "hybridq/statistics/significance.py": (("small = units / (units - 1)", "small = 1.0"),),
    "hybridq/statistics/operating_point.py": (
        ("called = scores >= value", "called = scores > value"),
        (
            "called = scored.probabilities[:, 1] >= threshold.value\n    return",
            "called = scored.probabilities[:, 1] > threshold.value\n    return",
        ),
    ),
    "backends/ibm/plan.py": (
        ("JOB_SECONDS = 2.0", "JOB_SECONDS = 2.5"),
        ("RESET_SECONDS = 2.3e-6", "RESET_SECONDS = 2.3e-5"),
        ("MAX_JOB_SECONDS = 3 * 3600", "MAX_JOB_SECONDS = 6 * 3600"),
        ("LIMIT_FACTOR, LIMIT_SECONDS = 2.0, 60", "LIMIT_FACTOR, LIMIT_SECONDS = 4.0, 60"),
    ),
}
"""Faults that were once unnoticed: in the source, and what stands there instead."""

EQUIVALENT: Final[dict[str, dict[str, str]]] = {
    "backends/ibm/execution.py": {
        "if time.monotonic() >= self.looked_for_until.setdefault(row.tag, self.end_of_search(row)):"
        "  →  if time.monotonic() > self.looked_for_until.setdefault(row.tag, self.end_of_search(row)):"
        "": "no clock stands at that moment to the last bit",
    },
    "backends/noise_sources.py": {
        "if most < 1e-12:  →  if most <= 1e-12:": "no gate loses 1e-12 to the last bit",
        "phases[phases < -np.pi + 1e-06] += 2 * np.pi"
        "  →  phases[phases < np.pi + 1e-06] += 2 * np.pi": "where none is −π all move alike, a global phase",
    },
    "hybridq/quantum/training_noise.py": {
        "ones = torch.binomial(torch.full_like(values, shots), ((1 + values) / 2).clamp(0, 1))"
        "  →  ones = torch.binomial(torch.full_like(values, shots), ((1 + values) / 2).clamp(0))"
        "": "torch takes a probability above 1 as 1",
    },
    "hybridq/training/batches.py": {
        "self._order = lru_cache(maxsize=1)(self._order_of)"
        "  →  self._order = lru_cache(maxsize=2)(self._order_of)": "the order is the same, kept or drawn again",
    },
    "hybridq/statistics/bootstrap.py": {
        "with np.errstate(divide='ignore', invalid='ignore'):"
        "  →  with np.errstate(invalid='ignore'):": "a warning, and no number",
    },
    "hybridq/statistics/intervals.py": {
        "return None if high - low < 1e-12 else (low, high)"
        "  →  return None if high - low <= 1e-12 else (low, high)": "no width is 1e-12 to the last bit",
    },
    "hybridq/statistics/risk_coverage.py": {
        "order = np.argsort(-sureness, kind='stable')"
        "  →  order = np.argsort(-sureness)": "images of one confidence are handed over together",
    },
    "hybridq/statistics/significance.py": {
        "if total < _NOTHING:  →  if total <= _NOTHING:": "no variance is 1e-20 to the last bit",
    },
}
"""Faults that change nothing, by module and as they are printed, each with the reason."""
