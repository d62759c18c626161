"""Where the time of an algorithm goes: the phases of its marked variant, on one thread, as parts of their sum."""

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

__all__ = ["phase_chart", "phase_table", "phase_text", "winner_chart"]

WIDTH, ROW = 520, 24
KINDS = {  # hues of Okabe and Ito, by what a phase is for
    "#e69f00": ("pad", "convert", "gather", "pack"),
    "#56b4e9": ("transform", "depthwise"),
    "#0072b2": ("multiply", "pointwise", "filter"),
    "#009e73": ("inverse", "write"),
}


def phase_table(cells: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and phase: KEY, label, anchor, algorithm, phase, seconds, share of their sum, slowdown, off.

    slowdown: a call with marks over an ordinary one, on one thread; off: by what part of its time the sum misses it.
    """
    told = cells[cells["phases"] != ""].merge(winners[[*KEY, "label"]], on=KEY)
    rows = []
    for cell in told.itertuples(index=False):
        parts = json.loads(cell.phases)
        head = (cell.suite, cell.spec, cell.weights, cell.label, anchor(cell.suite, cell.spec, cell.weights))
        whole = sum(parts.values())
        for phase, spent in parts.items():
            off = cell.phases_sum - 1
            rows.append((*head, cell.algorithm, phase, spent, spent / whole, whole, cell.phases_slowdown, off))
    columns = [*KEY, "label", "anchor", "algorithm", "phase", "seconds", "share", "whole", "slowdown", "off"]
    return pd.DataFrame(rows, columns=columns)


def phase_text(table: pd.DataFrame) -> Shown:
    """One row per cell: its phases in words, in their order."""
    words = [f"{row.phase} {percent(row.share)} ({seconds(row.seconds)})" for row in table.itertuples(index=False)]
    keys = [*KEY, "label", "anchor", "algorithm", "whole", "off", "slowdown"]
    told = table.assign(words=words).groupby(keys, sort=False, dropna=False)["words"].agg(", ".join).reset_index()
    columns = (
        *(Column("problem", "label"), Column("algorithm", "algorithm"), Column("phases on one thread", "words")),
        *(Column("together", "whole", seconds), Column("off the call's time", "off", percent)),
        Column("slow-down by marks", "slowdown", ratio),
    )
    return Shown(told, columns, link="anchor")


def phase_chart(table: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per algorithm a bar of its phases, each the mean of its shares over the problems; at the right, how many."""
    order = [style.algorithm for style in looks if style.algorithm in set(table["algorithm"])]
    cells = table.drop_duplicates([*KEY, "algorithm"]).groupby("algorithm")
    number, slower, off = cells.size(), cells["slowdown"].median(), cells["off"].median()
    groups = table.groupby(["algorithm", "phase"], sort=False)["share"].sum().reset_index()
    groups["share"] /= groups["algorithm"].map(number)
    notes = [f"n = {number[name]}, marks {ratio(slower[name])}, sum {percent(off[name])}" for name in order]
    return _bars(groups.rename(columns={"algorithm": "row"}), order, notes, title, ", mean over the problems")


def winner_chart(table: pd.DataFrame, title: str) -> alt.LayerChart:
    """Per problem a bar of its winner's phases; table: those rows of `phase_table`. At the right, who and how long."""
    once = table.drop_duplicates("label")
    notes = [
        f"{row.algorithm}, {seconds(row.whole)}, marks {ratio(row.slowdown)}, sum {percent(row.off)}"
        for row in once.itertuples(index=False)
    ]
    return _bars(table.rename(columns={"label": "row"}), list(once["label"]), notes, title)


def _bars(parts: pd.DataFrame, order: list[str], notes: list[str], title: str, mean: str = "") -> alt.LayerChart:
    """A bar a row, cut into parts: columns row, phase, share. notes: text beside each row."""
    parts = parts[["row", "phase", "share"]].copy()
    parts["end"] = parts.groupby("row")["share"].cumsum()
    parts["begin"] = parts["end"] - parts["share"]
    parts["middle"] = (parts["begin"] + parts["end"]) / 2
    parts["text"] = [percent(value) if value > 0.07 else "" for value in parts["share"]]
    present = set(parts["phase"])
    kinds = {colour: [name for name in names if name in present] for colour, names in KINDS.items()}
    kinds[MUTED] = sorted(present.difference(*kinds.values()))
    kinds = {colour: names for colour, names in kinds.items() if names}
    parts["kind"] = parts["phase"].map({name: ", ".join(names) for names in kinds.values() for name in names})
    scale = alt.Scale(domain=list(map(", ".join, kinds.values())), range=list(kinds))
    legend = alt.Legend(title=None, orient="bottom", symbolType="square", columns=5)
    axis = alt.Axis(format=".0%", tickCount=5, title=f"part of the sum of the phases{mean}")
    x = alt.X("begin:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=axis)
    y = rows_of(order, "row")
    bars = alt.Chart(parts)
    return stack(
        bars.mark_bar(height=16, stroke=PAPER, strokeWidth=1).encode(
            x=x,
            x2=alt.X2("end:Q"),
            y=y,
            color=alt.Color("kind:N", scale=scale, legend=legend),
        ),
        bars.mark_text(color="#000001", stroke="#ffffff", strokeWidth=2.5, strokeJoin="round", fontSize=11).encode(
            x=alt.X("middle:Q"), y=y, text=alt.Text("text:N")
        ),
        bars.mark_text(color="#000001", fontSize=11).encode(x=alt.X("middle:Q"), y=y, text=alt.Text("text:N")),
        right(pd.DataFrame({"row": order, "text": notes}), y, WIDTH),
        title=title,
        subtitle="of code compiled with marks between the phases, on one thread; right: its time over an ordinary "
        "call's, and what the sum of the phases misses of it",
        width=WIDTH,
        height=ROW * len(order),
    )
