"""Fills the results block of README.md from a reference run, so that no number in it is typed by hand.

Run: ``python benchmarks/readme.py [RUN]``; without an argument the newest ``results/reference-*``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from convbench.bench import records
from convbench.bench.alarms import alarms
from convbench.bench.environment import Facts
from convbench.bench.worker import HOPELESS
from convbench.report import winner_table
from convbench.report.findings import answer, beyond_default
from convbench.report.networks import network_table
from convbench.report.regret import regret_table
from convbench.report.tables import class_winners
from convbench.report.titles import whole
from convbench.units import count

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADINGS = ("problems", "number", "most wins", "other wins", "over im2col", "over the best peer")
OVER = ("over_im2col", "over_peer")
CHART = "charts/winners.png"


def newest(results: Path = ROOT / "results") -> Path | None:
    """The reference run with the latest date at the end of its name; None if there is none."""
    runs = [path.parent for path in results.glob("reference-*/samples.json")]
    return max(runs, key=lambda run: run.name[-10:], default=None)


def block(run: Path) -> str:
    """Markdown: where the numbers come from, the answer in sentences, the picture, one row per class of problems."""
    cells = records.cells(run)
    winners = winner_table(cells).drop_duplicates(["spec", "weights"])
    facts = records.environment_of(run)
    at = run.resolve().relative_to(ROOT).as_posix()
    versions = ", ".join(f"{name} {facts[f'{name}_version']}" for name in ("python", "numba", "numpy", "scipy"))
    suites = " ".join(f"`{suite}`" for suite in cells["suite"].drop_duplicates())
    rows = [
        (row.kind, row.problems, row.first, row.others, *(getattr(row, over).said(row.problems) for over in OVER))
        for row in class_winners(winners).itertuples(index=False)
    ]
    return "\n".join(
        [
            f"One run of {suites}: {facts['cpu_model_name']}, {count(int(facts['threads']), 'thread')}, "
            f"{versions}; every number is from [{at}]({at}/report.md).",
            "",
            *(f"{sentence}\n" for sentence in answer(cells, winners)),
            f"![Who wins where: time over the fastest's, by class of problems and algorithm]({at}/{CHART})",
            "",
            f"| {' | '.join(HEADINGS)} |",
            "| --- | ---: | --- | --- | ---: | ---: |",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
            "",
            "The last two columns say how many times as long that contender takes as the winner: geometric means",
            "over the n problems (all, unless said) on which it was timed and is not the winner itself. Hopeless on k:",
            f"over {HOPELESS:g} times as long on k of them, too many for a mean.",
            *_totals(cells),
            *(f"\n{sentence[0].upper()}{sentence[1:]}." for sentence in _remarks(cells, winners, facts)),
        ]
    )


def _totals(cells: pd.DataFrame) -> list[str]:
    """A line per network: the sum of its layers beside the best peer's."""
    totals = network_table(cells, winner_table(cells), regret_table(cells))
    networks = totals[~totals["partial"]].groupby("suite", sort=False)
    lines = [f"* {whole(str(suite), rows)}" for suite, rows in networks]
    return (
        ["", "Layers added up, each as often as the network has it, beside the fastest peer:", "", *lines]
        if lines
        else []
    )


def _remarks(cells: pd.DataFrame, winners: pd.DataFrame, facts: Facts) -> Iterator[str]:
    if beyond := beyond_default(winners):
        yield beyond.rstrip(".")
    yield from alarms(cells, facts)


def filled(readme: str, text: str) -> str:
    """``readme`` with ``text`` between the two marks."""
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not marked.search(readme):
        raise SystemExit(f"README.md has no block {BEGIN} … {END}")
    return marked.sub(lambda _: f"{BEGIN}\n{text}\n{END}", readme)


def main(arguments: list[str]) -> None:
    run = Path(arguments[0]) if arguments else newest()
    if run is None:
        raise SystemExit(
            "no results/reference-*/samples.json; make one with `convbench bench --out results/reference-…`"
        )
    README.write_text(filled(README.read_text(encoding="utf-8"), block(run)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
