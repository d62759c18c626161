"""Charts with one row per problem or algorithm: speed-up over a baseline, and part of the machine's limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convbench.report.curves import times_axis
from convbench.report.layout import LogAxis, stack
from convbench.report.palette import COLOUR, INK, MUTED, PAPER, Style, dress
from convbench.report.problems import KEY
from convbench.report.tables import mean_speed_up, with_ratios
from convbench.units import percent

__all__ = ["mark", "peak_chart", "right", "rows_of", "speedup_chart", "winner_speedup_chart"]

WIDTH, ROW = 520, 22


def rows_of(names: Sequence[str], field: str) -> alt.Y:
    """One row per name, in the order given."""
    axis = alt.Axis(title=None, ticks=False, domain=False, labelPadding=8)
    return alt.Y(f"{field}:N", sort=list(dict.fromkeys(names)), axis=axis)


def mark(at: float, **options: Any) -> alt.Chart:
    """A vertical line at a value of the x axis."""
    return alt.Chart(pd.DataFrame({"x": [at]})).mark_rule(color=INK, strokeWidth=1, **options).encode(x=alt.X("x:Q"))


def right(rows: pd.DataFrame, y: alt.Y, width: float = WIDTH) -> alt.Chart:
    """A column of the field `text` at the right edge."""
    return (
        alt.Chart(rows)
        .mark_text(align="left", dx=10, color=MUTED, fontSize=12)
        .encode(x=alt.value(width), y=y, text=alt.Text("text:N"))
    )


def speedup_chart(frame: pd.DataFrame, baseline: str, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per algorithm: its speed-up over the baseline on each problem, and the geometric mean."""
    cells = with_ratios(frame)[[*KEY, "algorithm", "ratio", "rough"]].dropna(subset="ratio")
    base = cells[cells["algorithm"] == baseline]
    cells = cells[(cells["algorithm"] != baseline) & ~cells["rough"]].merge(base, on=KEY, suffixes=("", "_base"))
    cells["speedup"] = cells["ratio_base"] / cells["ratio"]
    cells = dress(cells[["algorithm", "speedup", "rough_base"]], looks)
    order = cells.groupby("algorithm")["speedup"].median().sort_values(ascending=False).index
    groups = {name: cells[cells["algorithm"] == name] for name in order}
    found = [mean_speed_up(group["speedup"], group["rough_base"]) for group in groups.values()]
    means = dress(pd.DataFrame({"algorithm": order, "mean": [each.mean for each in found]}), looks)
    means["text"] = [
        each.said(0) if each.mean == each.mean else f"{each.hopeless} of {each.n + each.hopeless} hollow"
        for each in found
    ]
    axis = LogAxis(cells["speedup"].min(), cells["speedup"].max(), WIDTH)
    x = alt.X("speedup:Q", scale=axis.scale, axis=times_axis(axis, f"time of {baseline} ÷ time of the algorithm"))
    y = rows_of(list(means["algorithm"]), "algorithm")
    solid, hollow = alt.Chart(cells[~cells["rough_base"]]), alt.Chart(cells[cells["rough_base"]])
    ticks = alt.Chart(means.dropna(subset="mean"))
    return stack(
        mark(1.0),
        solid.mark_point(size=36, filled=True, opacity=0.5).encode(x=x, y=y, color=COLOUR),
        hollow.mark_point(size=30, filled=False, opacity=0.7, strokeWidth=1.2).encode(x=x, y=y, color=COLOUR),
        ticks.mark_tick(thickness=5, size=20, color=PAPER, opacity=1).encode(x=alt.X("mean:Q"), y=y),
        ticks.mark_tick(thickness=3, size=18, opacity=1).encode(x=alt.X("mean:Q"), y=y, color=COLOUR),
        right(means, y),
        title=title,
        subtitle=f"dot: a problem that the algorithm was timed on; hollow: {baseline} was hopeless there, not timed; "
        "bar and number: geometric mean of the solid",
        width=WIDTH,
        height=ROW * len(means),
    )


def winner_speedup_chart(winners: pd.DataFrame, title: str) -> alt.LayerChart:
    """Per problem: how many times faster our winner is than each baseline and than the best peer."""
    looks = {
        "python_loops": ("#8a8a8a", "triangle-up"),
        "naive": ("#8a8a8a", "square"),
        "im2col": ("#e69f00", "circle"),
        "best peer": (INK, "diamond"),
    }
    columns = {f"over_{name.removeprefix('best ')}": name for name in looks}
    cells = winners.melt(["label", "rough"], list(columns), "baseline", "speedup").dropna(subset="speedup")
    cells["baseline"] = cells["baseline"].map(columns)
    cells["hollow"] = [row.baseline in row.rough.split(", ") for row in cells.itertuples(index=False)]
    cells = cells[["label", "baseline", "speedup", "hollow"]]
    names = [name for name in looks if name in set(cells["baseline"])]
    legend = alt.Legend(title="speed-up over", orient="bottom", direction="horizontal")
    colour = alt.Color("baseline:N", scale=alt.Scale(domain=names, range=[looks[n][0] for n in names]), legend=legend)
    shape = alt.Shape("baseline:N", scale=alt.Scale(domain=names, range=[looks[n][1] for n in names]), legend=legend)
    axis = LogAxis(min(cells["speedup"].min(), 1.0), max(cells["speedup"].max(), 2.0), WIDTH)
    y = rows_of(list(winners["label"]), "label")
    x = alt.X("speedup:Q", scale=axis.scale, axis=times_axis(axis, "time of the baseline ÷ time of our winner"))
    solid, hollow = alt.Chart(cells[~cells["hollow"]]), alt.Chart(cells[cells["hollow"]])
    return stack(
        mark(1.0),
        solid.mark_point(size=70, filled=True, opacity=1).encode(x=x, y=y, color=colour, shape=shape),
        hollow.mark_point(size=60, filled=False, opacity=1).encode(x=x, y=y, color=colour, shape=shape),
        right(winners.assign(text=winners["winner"])[["label", "text"]], y),
        title=title,
        subtitle="right of 1×: our winner, named at the right, is faster; hollow: the baseline was hopeless, not timed",
        width=WIDTH,
        height=ROW * winners["label"].nunique(),
    )


def peak_chart(winners: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per problem: nominal flop/s of our winner as a part of the probed peak, bytes/s as a part of the bandwidth."""
    cells = winners[winners["peak_fraction"].notna()].copy()
    cells["algorithm"] = cells["winner"]
    cells["text"] = [
        f"{percent(peak)}  {name}" for peak, name in cells[["peak_fraction", "winner"]].itertuples(index=False)
    ]
    cells = dress(cells[["label", "algorithm", "peak_fraction", "bandwidth_fraction", "text"]], looks)
    top = max(1.0, float(cells[["peak_fraction", "bandwidth_fraction"]].max(axis=None)))
    axis = alt.Axis(format=".0%", tickCount=8, title="part of the machine's limit, probed beside each sample")
    x = alt.X("peak_fraction:Q", scale=alt.Scale(domain=[0, top * 1.02], nice=False), axis=axis)
    y = rows_of(list(winners["label"]), "label")
    base = alt.Chart(cells).encode(y=y)
    stream = alt.X("bandwidth_fraction:Q")
    return stack(
        base.mark_bar(height=13).encode(x=x, color=COLOUR),
        base.mark_tick(thickness=5, size=19, color=PAPER, opacity=1).encode(x=stream),
        base.mark_tick(thickness=2.5, size=19, color=INK, opacity=1).encode(x=stream),
        mark(1.0, strokeDash=[4, 3]),
        right(cells, y),
        title=title,
        subtitle=[
            "bar: flop of the direct sum per second ÷ FMA peak; Winograd and FFT do fewer, so they can pass 100%",
            "tick: bytes of input, weights, output per second ÷ stream bandwidth; above 100%: they came from a cache",
        ],
        width=WIDTH,
        height=ROW * winners["label"].nunique(),
    )
