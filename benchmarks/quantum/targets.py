"""The ratios that this project sets itself, from one run; printed, never asserted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.quantum import epoch, noisy, share, spells
from benchmarks.quantum.cases import NOISELESS, Q4
from benchmarks.quantum.ours import LAYER
from benchmarks.quantum.peers import PENNYLANE, SHIFT, STOCK, STOCK_NOISY
from benchmarks.quantum.results import Found


@dataclass(frozen=True)
class Target:
    """A bound on a number that a run gives for each number of threads."""

    name: str
    bound: float
    unit: str
    at_least: bool
    measured: Callable[[Found, int], float | None]
    """None where a run did not measure it."""
    in_double: Callable[[Found, int], float | None] | None = None
    """The same with the project's layer in float64, where that says more."""

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Outcome:
    """A target and what one number of threads gave."""

    name: str
    bound: str
    threads: int
    measured: float
    unit: str
    reached: bool
    in_double: float | None


def outcomes(found: Found) -> list[Outcome]:
    """Every target for every number of threads at which it was measured."""
    threads = sorted({row.threads for row in found.rows})
    results = []
    for target in TARGETS:
        for count in threads:
            value = target.measured(found, count)
            if value is not None:
                bound = f"{'≥' if target.at_least else '≤'} {target.bound:,g} {target.unit}"
                double = target.in_double(found, count) if target.in_double else None
                results.append(Outcome(target.name, bound, count, value, target.unit, target.reached(value), double))
    return results


def _times_faster(name: str, bound: float, section: str, case: str, *peers: str) -> Target:
    """How many times faster the layer is than the fastest of these peers."""

    def ratio(precision: str, found: Found, threads: int) -> float | None:
        ours = found.median_ms(section, case, LAYER, threads, precision)
        theirs = [found.median_ms(section, case, peer, threads) for peer in peers]
        known = [peer for peer in theirs if peer is not None]
        return min(known) / ours if ours and known else None

    return Target(name, bound, "×", True, partial(ratio, "float32"), partial(ratio, "float64"))


def _share(size: int, *, frozen: bool) -> Callable[[Found, int], float | None]:
    def measured(found: Found, threads: int) -> float | None:
        step = found.median_ms("share", "B32", share.step_name(size, frozen=frozen), threads)
        ours = found.median_ms("share", Q4.name, LAYER, threads)
        return 100 * ours / step if ours and step else None

    return measured


def _evaluation(found: Found, threads: int) -> float | None:
    spent = [row.timing for row in found.rows if (row.name, row.threads) == (noisy.ENGINE, threads)]
    compiling = found.value("evaluation", noisy.COMPILE, threads)
    return spent[0].median_ms / 1e3 + compiling if spent and spent[0] and compiling is not None else None


TARGETS = (
    _times_faster(f"{Q4.name}: stock / ours", 3000, "noiseless", Q4.name, STOCK),
    *(
        _times_faster(f"{case.name}: better PennyLane device / ours", 8, "noiseless", case.name, *PENNYLANE)
        for case in NOISELESS
        if case != NOISELESS[1]
    ),
    Target("share of a MobileNetV2 step, 64 × 64, backbone free", 1, "%", False, _share(64, frozen=False)),
    Target("share of a MobileNetV2 step, 64 × 64, backbone frozen", 5, "%", False, _share(64, frozen=True)),
    _times_faster(f"noisy {Q4.name}: stock / ours", 3000, "noisy", Q4.name, STOCK_NOISY),
    _times_faster(f"noisy {Q4.name}: one-PUB shift / ours", 100, "noisy", Q4.name, SHIFT),
    Target("noisy evaluation of 3,400 images, compiling included", 1, "s", False, _evaluation),
    Target(epoch.RATIO, 1.03, "×", False, lambda found, threads: found.value("epoch", epoch.RATIO, threads)),
    Target(
        f"steps beside Aer: {spells.SPREAD}",
        5,
        "×",
        False,
        lambda found, threads: found.value("spells", spells.SPREAD, threads),
    ),
)
