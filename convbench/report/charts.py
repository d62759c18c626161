"""The charts of a report: which there are, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import altair as alt
import pandas as pd

from convbench import drawing
from convbench.report import (
    bars,
    costs,
    crossover,
    curves,
    maps,
    networks,
    pareto,
    phases,
    regret,
    roofline,
    scaling,
    titles,
)
from convbench.report.palette import THEME, Style, styles
from convbench.report.problems import KEY, PROBLEM, sweeps
from convbench.report.shown import Shown
from convbench.report.tables import class_table, speed_up

__all__ = ["Figure", "declaration", "figures", "svg"]

ROWS = 32
"""The most problems in one chart; longer suites are drawn in parts of equal length."""
BASELINES = ("im2col", "naive")


@dataclass(frozen=True)
class Figure:
    """One chart: file name without suffix, section of the page, what it shows in words, and its declaration.

    text: the same as a table of strings, for those who cannot see it; None where a table of the page says it.
    """

    name: str
    section: str
    words: str
    chart: alt.TopLevelMixin
    text: Shown | None = None


def _plain(text: str) -> str:
    """A piece of a file name: letters, digits and _."""
    return re.sub(r"\W+", "_", text)


def _parts(winners: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(part of a file name, title, rows) of each suite with something timed, cut where it is longer than ROWS."""
    for suite, rows in winners.groupby("suite", sort=False):
        if not (rows["winner"] != "").any():
            continue
        pieces = -(-len(rows) // ROWS)
        length = -(-len(rows) // pieces)
        for i in range(pieces):
            name = _plain(str(suite)) + (f"_{i + 1}" if pieces > 1 else "")
            title = f"{suite} ({i + 1} of {pieces})" if pieces > 1 else str(suite)
            yield name, title, rows.iloc[i * length : (i + 1) * length]


def _overview(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Charts over all problems, each problem counted once."""
    title = titles.most_wins(winners)
    yield Figure("winners", "answer", title, maps.class_map(class_table(cells, winners), looks, title))
    for baseline in BASELINES:
        found = speed_up(winners, baseline)
        if found.n or found.hopeless:
            title = titles.over_baseline(baseline, found)
            yield Figure(f"speedup_{baseline}", "speedup", title, bars.speedup_chart(cells, baseline, looks, title))
    if (cells.loc[cells["time"].notna(), "error"] > 0).any():
        title = "Which algorithms trade accuracy for speed?"
        yield Figure("error", "error", title, curves.error_chart(cells, looks, title))


def _wholes(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Charts over all problems that have a module of their own: machine, selector, compiler."""
    for found in crossover.winner_maps(winners):
        title = f"{found.words}: {titles.shares(found)}"
        name = f"winners_{_plain(found.kind)}_{found.across}_{found.upright}"
        yield Figure(name, "crossover", title, crossover.map_chart(found, looks, title), crossover.map_text(found))
    points = roofline.roofline_table(cells, winners)
    for dtype, roof in roofline.roofs(cells).items():
        mine = points[points["dtype"] == dtype]
        title = titles.under_the_roof(mine, roof, dtype)
        chart = roofline.roofline_chart(mine, roof, looks, title)
        yield Figure(f"roofline_{dtype}", "roofline", title, chart, roofline.roofline_text(mine))
    regrets = regret.regret_table(cells)
    if len(regrets):
        summary = regret.regret_summary(regrets, winners)
        title = titles.lost(summary)
        yield Figure("regret", "regret", title, regret.regret_chart(regrets, summary, looks, title))
    once = costs.cost_table(cells)
    if (once["compile_s"] > 0).any():
        compiled, loaded = (titles.between(once[cost]) for cost in ("compile_s", "cache_load_s"))
        title = f"Compiling an algorithm takes {compiled}, loading it {loaded}"
        yield Figure("costs", "costs", title, costs.cost_chart(once, looks, title))


def _details(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Phases and threads, where the run asked for them."""
    told = phases.phase_table(cells, winners)
    if len(told):
        title = titles.longest_phases(told)
        yield Figure("phases", "phases", title, phases.phase_chart(told, looks, title))
    scaled = scaling.scaling_table(cells, winners)
    if len(scaled := scaled[scaled["judged"]]):
        title = titles.gained(scaled)
        yield Figure("scaling", "scaling", title, scaling.scaling_chart(scaled, looks, title))


def _networks(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Totals of each network."""
    totals = networks.network_table(cells, winners, regret.regret_table(cells))
    for suite, rows in totals[~totals["partial"]].groupby("suite", sort=False):
        title = titles.whole(str(suite), rows)
        chart = networks.network_chart(rows, looks, int(rows["of"].iloc[0]), title)
        yield Figure(f"network_{_plain(str(suite))}", "networks", title, chart)


def _fronts(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Speed, error and memory, a panel per problem."""
    front = pareto.front_table(cells)
    for name, suite, rows in _parts(winners):
        if len(mine := front.merge(rows[KEY])):
            title = titles.traded(suite, mine)
            yield Figure(f"pareto_{name}", "pareto", title, pareto.pareto_chart(mine, rows, looks, title))


def _suites(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Charts of one suite each, a row per problem."""
    for name, suite, rows in _parts(winners):
        title = f"{suite}: {titles.most_wins(rows)}"
        yield Figure(f"map_{name}", "map", title, maps.time_map(cells, rows, looks, title))
        if ahead := titles.ahead(rows):
            title = f"{suite}: winners are {ahead}"
            yield Figure(f"speedup_{name}", "speedup", title, bars.winner_speedup_chart(rows, title))
        if rows["peak_fraction"].notna().any():
            title = f"{suite}: winners do {titles.span(rows['peak_fraction'])} of the core's peak"
            yield Figure(f"peak_{name}", "peak", title, bars.peak_chart(rows, looks, title))
        mine = rows[[*KEY, "label", "winner"]].rename(columns={"winner": "algorithm"})
        told = phases.phase_table(cells.merge(mine[[*KEY, "algorithm"]]), rows)
        if len(told):
            title = f"{titles.longest_phases(told)}, winners of {suite}"
            yield Figure(f"phases_{name}", "phases", title, phases.winner_chart(told, title))


def _sweeps(cells: pd.DataFrame, winners: pd.DataFrame, looks: list[Style]) -> Iterator[Figure]:
    """Time against size, one chart per sweep."""
    for i, sweep in enumerate(sweeps(winners)):
        members = cells[cells["suite"] == sweep.suite]
        who = titles.along(sweep, winners[winners["suite"] == sweep.suite])
        if who:
            title = f"{sweep.suite}: {sweep.fixed}"
            name = f"time_{_plain(sweep.suite)}_{sweep.axis}_{i + 1}"
            words = f"{title}. Time against {sweep.axis_title}; fastest of ours: {who}"
            chart = curves.sweep_chart(members, sweep, looks, title, f"fastest of ours: {who}")
            yield Figure(name, "size", words, chart)


def figures(cells: pd.DataFrame, winners: pd.DataFrame) -> list[Figure]:
    """Every chart that there is data for: `cells` of a run and their `tables.winner_table`."""
    contenders = cells.groupby("algorithm")["peer"].any()
    looks = list(styles((str(name), bool(peer)) for name, peer in contenders.items()).values())
    title = f"What ran where: {int(cells['time'].notna().sum())} of {len(cells)} cells were timed"
    last = Figure("applicability", "applicability", title, maps.applicability_map(cells, looks, title))
    if not (winners["winner"] != "").any():
        return [last]
    once = cells.drop_duplicates([*PROBLEM, "algorithm"]), winners.drop_duplicates(PROBLEM)
    overall = [part(*once, looks) for part in (_overview, _wholes, _details)]
    each = [part(cells, winners, looks) for part in (_suites, _sweeps, _fronts, _networks)]
    return [*chain.from_iterable([*overall, *each]), last]


def svg(figure: Figure) -> str:
    """The chart as SVG text."""
    return drawing.svg(declaration(figure), THEME)


def declaration(figure: Figure) -> dict[str, Any]:
    """The chart in Vega-Lite's words, its data in it."""
    return figure.chart.to_dict(validate=False)
