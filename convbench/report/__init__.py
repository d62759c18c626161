"""From the record of a run to its report: cells.csv, report.md, report.html and charts as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from convbench.bench import records
from convbench.drawing import drawings
from convbench.machine import write_atomic
from convbench.report import charts, page
from convbench.report.palette import THEME
from convbench.report.tables import winner_table, winner_text

__all__ = ["winner_table", "winner_text", "write"]


def write(run: str | Path, cells: pd.DataFrame | None = None) -> Path:
    """Write everything a reader needs beside the samples of a run (a results directory); gives the page's path.

    `cells`: what `bench.records.cells` gives for the run, if the caller has it.
    cells.csv, report.md, report.html, charts/*.svg and charts/*.png. Each file is replaced in one step; charts of an
    earlier report of the run are removed. FileNotFoundError or ValueError when there is no record, OSError when the
    directory cannot be written.
    """
    directory = Path(run)
    cells = records.cells(directory) if cells is None else cells
    winners = winner_table(cells)
    drawn = _draw(directory / "charts", charts.figures(cells, winners))
    report = page.Report(directory.resolve().name, cells, winners, drawn, records.environment_of(directory))
    records.write_csv(directory, cells)
    write_atomic(directory / "report.md", page.markdown(report))
    write_atomic(directory / "report.html", page.html(report))
    return directory / "report.html"


def _draw(directory: Path, figures: list[charts.Figure]) -> list[tuple[charts.Figure, str]]:
    """Each chart with its SVG; files of both kinds in the directory."""
    drawn, kept = [], set()
    for figure, files in zip(figures, drawings(map(charts.declaration, figures), THEME), strict=True):
        vector, raster = directory / f"{figure.name}.svg", directory / f"{figure.name}.png"
        write_atomic(vector, files.svg)
        write_atomic(raster, files.png)
        drawn.append((figure, files.svg))
        kept |= {vector, raster}
    for path in {*directory.glob("*.svg"), *directory.glob("*.png")} - kept:
        path.unlink()
    return drawn
