"""hybridq report"""

from __future__ import annotations

from hybridq.cli.options import RunFolder


def report(run: RunFolder) -> None:
    """Write report.html: one self-contained file with tables and figures of everything saved in the run."""
    from hybridq.cli.console import announce
    from hybridq.reports.html import write_report
    from hybridq.runs import open_run

    announce(f"report: {write_report(open_run(run).folder)}")
