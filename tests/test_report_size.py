"""A report of 500 cells is one page below 5 MB; benchmarks/report_size.py times how it is built."""

from __future__ import annotations

import pytest
import report_frame

from convbench.report import charts, page, winner_table

CELLS, LARGEST = 500, 5e6


@pytest.mark.slow
def test_five_hundred_cells_are_less_than_five_megabytes() -> None:
    problems = report_frame.problems()
    cells = report_frame.frame(problems[:: len(problems) * len(report_frame.EFFICIENCY) // CELLS])
    assert len(cells) >= CELLS
    winners = winner_table(cells)
    drawn = [(figure, charts.svg(figure)) for figure in charts.figures(cells, winners)]
    report = page.Report("large", cells, winners, drawn, report_frame.MACHINE)
    assert len(drawn) > 40
    assert len(page.html(report).encode()) < LARGEST
    assert len(page.markdown(report).encode()) < LARGEST / 10
