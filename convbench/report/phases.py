"""Where the time of an algorithm goes: the phases of its stepwise variant, on one thread, as parts of their sum."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd

from convbench.report.bars import right, rows_of
from convbench.report.layout import stack
from convbench.report.palette import MUTED, PAPER, Style
from convbench.report.problems import KEY, anchor
from convbench.report.shown import Column, Shown
from convbench.units import percent, ratio, seconds

__all__ = ["phase_chart", "phase_table", "phase_text"]

WIDTH, ROW = 520, 24
COLOURS = {  # hues of Okabe and Ito, by what a phase is for
    **dict.fromkeys(("pad", "convert", "gather", "pack"), "#e69f00"),
    **dict.fromkeys(("transform", "depthwise"), "#56b4e9"),
    **dict.fromkeys(("multiply", "pointwise"), "#0072b2"),
    **dict.fromkeys(("inverse", "write"), "#009e73"),
}


def phase_table(cells: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and phase: KEY, label, anchor, algorithm, phase, seconds, share of their sum, slowdown.

    slowdown: a stepwise call over an ordinary one on one thread.
    """
    told = cells[cells["phases"] != ""].merge(winners[[*KEY, "label"]], on=KEY)
    rows = []
    for cell in told.itertuples(index=False):
        parts = json.loads(cell.phases)
        head = (cell.suite, cell.spec, cell.weights, cell.label, anchor(cell.suite, cell.spec, cell.weights))
        whole = sum(parts.values())
        for phase, spent in parts.items():
            rows.append((*head, cell.algorithm, phase, spent, spent / whole, whole, cell.phases_slowdown))
    columns = [*KEY, "label", "anchor", "algorithm", "phase", "seconds", "share", "whole", "slowdown"]
    return pd.DataFrame(rows, columns=columns)


def phase_text(table: pd.DataFrame) -> Shown:
    """One row per cell: its phases in words, in their order."""
    words = [f"{row.phase} {percent(row.share)} ({seconds(row.seconds)})" for row in table.itertuples(index=False)]
    keys = [*KEY, "label", "anchor", "algorithm", "whole", "slowdown"]
    told = table.assign(words=words).groupby(keys, sort=False, dropna=False)["words"].agg(", ".join).reset_index()
    columns = (
        *(Column("problem", "label"), Column("algorithm", "algorithm"), Column("phases on one thread", "words")),
        *(Column("together", "whole", seconds), Column("slow-down of stepping", "slowdown", ratio)),
    )
    return Shown(told, columns, link="anchor")


def phase_chart(table: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per algorithm a bar of its phases, each the mean of its shares over the problems; at the right, how many."""
    order = [style.algorithm for style in looks if style.algorithm in set(table["algorithm"])]
    groups = table.groupby(["algorithm", "phase"], sort=False)["share"].sum().reset_index()
    cells = table.drop_duplicates([*KEY, "algorithm"]).groupby("algorithm")
    number, slower = cells.size(), cells["slowdown"].median()
    groups["end"] = (groups["share"] / groups["algorithm"].map(number)).groupby(groups["algorithm"]).cumsum()
    groups["begin"] = groups.groupby("algorithm")["end"].shift(fill_value=0.0)
    groups["middle"] = (groups["begin"] + groups["end"]) / 2
    share = groups["end"] - groups["begin"]
    groups["text"] = [percent(value) if value > 0.07 else "" for value in share]
    phases = list(dict.fromkeys(table["phase"]))
    scale = alt.Scale(domain=phases, range=[COLOURS.get(phase, MUTED) for phase in phases])
    legend = alt.Legend(title=None, orient="bottom", symbolType="square", columns=7)
    axis = alt.Axis(format=".0%", tickCount=5, title="part of the sum of the phases, mean over the problems")
    x = alt.X("begin:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=axis)
    y = rows_of(order, "algorithm")
    notes = [f"n = {number[name]}, stepping takes {ratio(slower[name])}" for name in order]
    bars = alt.Chart(groups[["algorithm", "phase", "begin", "end", "middle", "text"]])
    return stack(
        bars.mark_bar(height=16, stroke=PAPER, strokeWidth=1).encode(
            x=x, x2=alt.X2("end:Q"), y=y, color=alt.Color("phase:N", scale=scale, legend=legend)
        ),
        bars.mark_text(color="#000001", stroke="#ffffff", strokeWidth=2.5, strokeJoin="round", fontSize=11).encode(
            x=alt.X("middle:Q"), y=y, text=alt.Text("text:N")
        ),
        bars.mark_text(color="#000001", fontSize=11).encode(x=alt.X("middle:Q"), y=y, text=alt.Text("text:N")),
        right(pd.DataFrame({"algorithm": order, "text": notes}), y, WIDTH),
        title=title,
        subtitle="a variant that runs step by step on one thread; right: problems, its time over an ordinary call's",
        width=WIDTH,
        height=ROW * len(order),
    )
