"""What a kernel costs once and what it costs each call, and after how many calls the first is paid back.

Five costs are measured apart: compile (once per machine), cache load (once per process), prepare (once per filter
bank), the first call, and the steady call. n calls take

    once + prepare + first + (n − 1) · steady,    once = compile on a new machine, cache load in a new process,
                                                  nothing where the kernel is loaded already

and a contender breaks even with a rival at the least n for which that is no more than the rival's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convbench.report.bars import rows_of
from convbench.report.curves import SECONDS
from convbench.report.layout import LogAxis, stack
from convbench.report.palette import INK, Style
from convbench.report.problems import KEY, anchor
from convbench.report.shown import Column, Shown
from convbench.units import ratio, seconds

__all__ = ["break_even", "break_even_table", "break_even_text", "cost_chart", "cost_table", "paid_back"]

WIDTH, ROW = 620, 22
COSTS = {  # column -> (name, colour, shape): hues of Okabe and Ito
    "compile_s": ("compile, once per machine", "#d55e00", "square"),
    "cache_load_s": ("cache load, once per process", "#e69f00", "diamond"),
    "prepare_s": ("prepare, once per filter bank", "#009e73", "triangle-up"),
    "first_s": ("first call", "#56b4e9", "circle"),
    "time": ("steady call", INK, "cross"),
}
STARTS = {"new_machine": "compile_s", "new_process": "cache_load_s", "loaded": None}
"""Where a program starts -> the column that it pays once."""


def break_even(once: float, steady: float, rival_once: float, rival_steady: float) -> float:
    """Least n ≥ 1 with once + n·steady ≤ rival_once + n·rival_steady; infinity if there is none."""
    if once + steady <= rival_once + rival_steady:
        return 1.0
    if steady >= rival_steady:
        return math.inf
    return float(math.ceil((once - rival_once) / (rival_steady - steady)))


def _once(row: Any, column: str | None) -> float:
    """Seconds beyond n steady calls: what is paid before the first call, and what that takes beyond a steady one."""
    known = [getattr(row, name) for name in (column, "prepare_s") if name is not None]
    first = row.first_s - row.time if row.first_s == row.first_s else 0.0
    return float(sum(value for value in known if value == value) + max(0.0, first))


def break_even_table(cells: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per problem whose winner compiles, against the fastest contender that compiles nothing.

    KEY, label, winner, its five costs, rival, over_rival (rival's steady time over the winner's) and, per start, the
    calls until the winner has paid back.
    """
    rows = []
    timed = dict(list(cells[cells["time"].notna()].groupby(KEY, sort=False)))
    for problem in winners[winners["winner"] != ""].itertuples(index=False):
        group = timed[problem.suite, problem.spec, problem.weights]
        mine = next(group[group["algorithm"] == problem.winner].itertuples(index=False))
        rivals = group[(group["compile_s"] == 0) & (group["algorithm"] != problem.winner)].sort_values("time")
        if not mine.compile_s > 0 or rivals.empty:
            continue
        rival = next(rivals.itertuples(index=False))
        row = {name: getattr(problem, name) for name in (*KEY, "label", "winner")}
        row |= {name: getattr(mine, name) for name in COSTS}
        row |= {"anchor": anchor(problem.suite, problem.spec, problem.weights)}
        row |= {"rival": rival.algorithm, "over_rival": rival.time / mine.time}
        for start, column in STARTS.items():
            row[start] = break_even(_once(mine, column), mine.time, _once(rival, column), rival.time)
        rows.append(row)
    return pd.DataFrame(rows, columns=[*KEY, "label", "anchor", "winner", *COSTS, "rival", "over_rival", *STARTS])


def _calls(number: float) -> str:
    return "never" if math.isinf(number) else "at once" if number == 1 else f"{number:,.0f} calls"


def break_even_text(table: pd.DataFrame) -> Shown:
    """The table in words."""
    heads = ("even on a new machine", "in a new process", "once loaded")
    columns = (
        *(Column("problem", "label"), Column("winner", "winner")),
        *(Column(name.partition(",")[0], column, seconds) for column, (name, *_) in COSTS.items()),
        *(Column("fastest without compiler", "rival"), Column("its time", "over_rival", ratio)),
        *(Column(head, start, _calls) for head, start in zip(heads, STARTS, strict=True)),
    )
    return Shown(table, columns, link="anchor")


def cost_table(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per algorithm of ours that was timed: the medians of its five costs over its problems."""
    timed = cells[~cells["peer"] & cells["time"].notna()]
    return timed.groupby("algorithm")[list(COSTS)].median().reset_index()


def cost_chart(costs: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per algorithm its five costs, each a mark on one logarithmic axis of time."""
    rank = {style.algorithm: i for i, style in enumerate(looks)}
    costs = costs.sort_values("algorithm", key=lambda names: names.map(rank))
    points = costs.melt("algorithm", list(COSTS), "cost", "seconds")
    points = points[points["seconds"] > 0]
    points["cost"] = points["cost"].map({column: name for column, (name, *_) in COSTS.items()})
    axis = LogAxis(points["seconds"].min(), points["seconds"].max(), WIDTH)
    names, colours, shapes = zip(*COSTS.values(), strict=True)
    legend = alt.Legend(title=None, orient="bottom", columns=3, symbolSize=80)
    ticks = alt.Axis(values=axis.ticks(), labelExpr=SECONDS, title="time, median over the problems")
    x = alt.X("seconds:Q", scale=axis.scale, axis=ticks)
    y = rows_of(list(costs["algorithm"]), "algorithm")
    extent = points.groupby("algorithm")["seconds"].agg(["min", "max"]).reset_index()
    marks = alt.Chart(points).mark_point(size=75, filled=True, opacity=1)
    return stack(
        alt.Chart(extent).mark_rule(strokeWidth=1).encode(x=alt.X("min:Q"), x2=alt.X2("max:Q"), y=y),
        marks.encode(
            x=x,
            y=y,
            color=alt.Color("cost:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
            shape=alt.Shape("cost:N", scale=alt.Scale(domain=names, range=shapes), legend=legend),
        ),
        title=title,
        subtitle="five costs measured apart; what is exactly zero (a kernel with nothing to prepare) has no mark",
        width=WIDTH,
        height=ROW * len(costs),
    )


def paid_back(table: pd.DataFrame) -> str:
    """How soon the winners have paid back, in a sentence of Markdown; "" without a table."""
    if table.empty:
        return ""
    said = []
    for start, where in zip(STARTS, ("on a new machine", "in a new process", "once loaded"), strict=True):
        middle = table[start].quantile(0.5, interpolation="higher")
        said.append(f"{_calls(middle)} {where}")
    return f"Half of the winners have paid back against the fastest contender that compiles nothing: {', '.join(said)}."
