"""The operating point of saved evaluations: chosen on those of validation images, applied to others."""

from __future__ import annotations

from collections.abc import Sequence

from hybridq.results.evaluation import Evaluation
from hybridq.statistics.operating_point import OperatingPoint, Point, Rule, Threshold, apply, choose, is_binary


def validations(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    """Of a run's evaluations those of its validation images, by backend; of several the one with the most images."""
    found: dict[str, Evaluation] = {}
    for e in sorted(evaluations, key=lambda e: len(e.ids)):
        if e.record["split"] == "validation" and e.source is None and e.intervention is None:
            found[e.backend] = e
    return found


def operating_point(
    evaluations: Sequence[Evaluation], validation: dict[str, Evaluation], rule: Rule, seed: int
) -> OperatingPoint | None:
    """Choose on ``validation`` (:func:`validations`) and apply to ``evaluations`` of one set of other images.

    None where there are more than two classes or where no noiseless evaluation of validation images was saved. Changes
    are from the noiseless evaluation, else from the first. Evaluations with q replaced are left out.
    """
    shown = [e for e in evaluations if e.intervention is None]
    noiseless = next((e for e in validation.values() if e.kind == "noiseless"), None)
    if noiseless is None or not shown or not is_binary(shown[0].scored(seed)):
        return None
    reference = next((e for e in shown if e.kind == "noiseless"), shown[0])

    def chosen(on: Evaluation) -> Threshold:
        return choose(on.scored(seed), rule, on.backend)

    def applied(e: Evaluation, threshold: Threshold, before: Evaluation | None) -> Point:
        now = e.scored(seed)
        paired = None if before is None else (before.scored(seed), now.take(e.rows_of(before.ids)))
        return apply(now, threshold, paired, backend=e.backend, kind=e.kind)

    common = chosen(noiseless)
    points = [applied(e, common, None if e is reference else reference) for e in shown]
    own = [e for e in shown if e.kind != "noiseless" and e.backend in validation]
    points += [applied(e, chosen(validation[e.backend]), None) for e in own]
    return OperatingPoint(rule, common, tuple(points))
