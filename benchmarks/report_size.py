"""How long does a report take to build, and how large is its page? Of a run's first problems, up to 500 cells.

Run: ``python benchmarks/report_size.py [RUN] [CELLS]``; without a run the newest ``results/reference-*``. The aim for
500 cells is less than 20 s and 5 MB; ``tests/test_report_size.py`` holds the second.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from readme import newest

from convbench import report
from convbench.bench import records
from convbench.report.problems import KEY
from convbench.units import count, seconds, size


def first(cells: pd.DataFrame, most: int) -> pd.DataFrame:
    """Whole problems from the beginning of the run, at most `most` cells."""
    sizes = cells.groupby(KEY, sort=False).size()
    return cells.merge(sizes[sizes.cumsum() <= most].reset_index()[KEY], on=KEY)


def main(arguments: list[str]) -> None:
    run = Path(arguments[0]) if arguments else newest()
    if run is None:
        raise SystemExit("no results/reference-*/samples.json; name a run")
    most = int(arguments[1]) if len(arguments) > 1 else 500
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(run / records.SAMPLES, directory)
        cells = first(records.cells(directory), most)
        start, worked = time.perf_counter(), time.process_time()
        page = report.write(directory, cells)
        elapsed, cpu = time.perf_counter() - start, time.process_time() - worked
        charts = len(list((page.parent / "charts").glob("*.svg")))
        print(
            f"{count(len(cells), 'cell')}: {seconds(elapsed)} ({seconds(cpu)} of processors), "
            f"a page of {size(page.stat().st_size)}, {count(charts, 'chart')}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
