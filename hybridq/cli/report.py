"""hybridq report"""

from __future__ import annotations

from hybridq.cli.options import RunFolder


def report(run: RunFolder) -> None:
    """Write report.html: one self-contained file with tables and figures of everything saved in the run."""
    from hybridq.cli.console import announce, working
    from hybridq.runs import open_run

    folder = open_run(run).folder
    with working("drawing the report"):
        from hybridq.reports.html import write_report

        path = write_report(folder)
    announce(f"report: {path}")
