"""hybridq report"""

from __future__ import annotations

from hybridq.cli.options import RunArgument, ThresholdRule


def report(run: RunArgument, threshold: ThresholdRule = None) -> None:
    """Write report.html: one self-contained file with tables and figures of everything saved in the run.

    Where a threshold is to be chosen and validation images were not evaluated yet, that is done first.
    """
    from hybridq.cli.console import announce, working
    from hybridq.cli.operating_point import evaluate_validation
    from hybridq.files import check_folder
    from hybridq.run_folder import open_run
    from hybridq.statistics.operating_point import YOUDEN, parse_rule

    rule = YOUDEN if threshold is None else parse_rule(threshold)
    opened = open_run(run)
    check_folder(opened.folder)
    evaluate_validation(opened, asked=threshold is not None)
    with working("drawing the report"):
        from hybridq.reports.page import write_report

        path = write_report(opened.folder, rule)
    announce(f"report: {path}")
