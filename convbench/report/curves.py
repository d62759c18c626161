"""Charts of two measured quantities: time against size, and error against speed."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from convbench.bench.alarms import MOSTLY
from convbench.report.layout import Box, LogAxis, place, spread, stack
from convbench.report.palette import COLOUR, INK, PAPER, SHAPE, Style, dress
from convbench.report.problems import Sweep
from convbench.report.tables import geometric_mean

__all__ = ["error_chart", "sweep_chart", "times_axis"]

SECONDS = "replace(format(datum.value, '~s'), /([mnµ]?)$/, ' $1s')"
TIMES = "format(datum.value, '~r') + '×'"
PALE = 0.35
POWER = "replace(format(datum.value, '~e'), /e([+−-]?)([0-9]+)/, 'e$1$2')"


def times_axis(axis: LogAxis, title: str | None = None, most: int = 10) -> alt.Axis:
    """Ticks 1×, 2×, 5×, 10× …"""
    return alt.Axis(values=axis.ticks(most), labelExpr=TIMES, title=title)


def _markers(points: pd.DataFrame, size: float, **where: Any) -> list[alt.Chart]:
    """Filled markers for ours, hollow ones for peers, at the encoded place."""
    own, peers = points[~points["peer"]], points[points["peer"]]
    return [
        alt.Chart(own).mark_point(size=size, filled=True, opacity=1).encode(color=COLOUR, shape=SHAPE, **where),
        alt.Chart(peers)
        .mark_point(size=0.8 * size, filled=False, opacity=1)
        .encode(color=COLOUR, shape=SHAPE, **where),
    ]


def sweep_chart(frame: pd.DataFrame, sweep: Sweep, looks: Sequence[Style], title: str, found: str) -> alt.LayerChart:
    """Time against one size, both logarithmic; bars are 95% intervals; each line leads to its marker and name."""
    width, height = 560, 420
    sizes = pd.DataFrame([(*problem, at) for problem, at in sweep.sizes.items()], columns=["spec", "weights", "size"])
    points = frame[frame["time"].notna()].merge(sizes, on=["spec", "weights"]).sort_values("size")
    points["opacity"] = np.where(points["slowed"] > MOSTLY, PALE, 1.0)
    points = dress(points[["size", "algorithm", "time", "time_low", "time_high", "opacity"]], looks)
    across = LogAxis(sweep.smallest, sweep.largest, width)
    upright = LogAxis(points["time_low"].min(), points["time_high"].max(), height)
    pale = "; pale: too long, timed while the machine was slowed" if (points["opacity"] < 1).any() else ""
    ends = points.groupby("algorithm", sort=False).tail(1).reset_index(drop=True)
    ends["pixel"] = height - np.array(spread([upright.pixel(time) for time in ends["time"]], 15))
    ends["y"] = [upright.value(height - pixel) for pixel in ends["pixel"]]
    sizes_axis = alt.Axis(values=sorted(set(sweep.sizes.values())), format="~r", grid=False, labelOverlap=True)
    times = alt.Axis(labelExpr=SECONDS, values=upright.ticks())
    x = alt.X("size:Q", title=sweep.axis_title, scale=across.scale, axis=sizes_axis)
    y = alt.Y("time:Q", title="time of one call", scale=upright.scale, axis=times)
    line = {"x": x, "y": y, "color": COLOUR, "detail": alt.Detail("algorithm:N")}
    leads = alt.Chart(ends).mark_rule(strokeWidth=1, strokeDash=[1, 3])
    bars = alt.Chart(points).mark_rule(strokeWidth=1.5)
    key = alt.Y("pixel:Q", scale=None, axis=None)
    names = alt.Chart(ends).mark_text(align="left", fontSize=12, color=INK)
    return stack(
        leads.encode(x=x, x2=alt.value(width + 10), y=y, y2=alt.Y2("y:Q"), color=COLOUR),
        alt.Chart(points[~points["peer"]]).mark_line(strokeWidth=2).encode(**line),
        alt.Chart(points[points["peer"]]).mark_line(strokeWidth=1.5, strokeDash=[5, 3]).encode(**line),
        bars.encode(x=x, y=alt.Y("time_low:Q"), y2=alt.Y2("time_high:Q"), color=COLOUR),
        *_markers(points, 55, x=x, y=y, opacity=alt.Opacity("opacity:Q", scale=None)),
        *_markers(ends, 55, x=alt.value(width + 18), y=key),
        names.encode(x=alt.value(width + 28), y=key, text=alt.Text("algorithm:N")),
        title=title,
        subtitle=[*wrap(found, 100), f"bars: 95% intervals, often smaller than the marker; dashed: peers{pale}"],
        width=width,
        height=height,
    )


def _points(frame: pd.DataFrame) -> pd.DataFrame:
    """Per algorithm: x, the geometric mean of its ratio to the fastest; y, its median error; 10% and 90% points."""
    cells = frame[frame["time"].notna() & (frame["error"] > 0)]
    groups = cells.groupby("algorithm")
    columns = {"x": groups["best_ratio"].apply(geometric_mean), "y": groups["error"].median()}
    for name, column in (("x", "best_ratio"), ("y", "error")):
        columns |= {f"{name}1": groups[column].quantile(0.1), f"{name}2": groups[column].quantile(0.9)}
    return pd.DataFrame(columns).reset_index()


def error_chart(frame: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per algorithm: median error against the geometric mean of its time over the fastest's, with the middle 80%."""
    width, height = 760, 440
    points = dress(_points(frame), looks)
    across = LogAxis(points["x1"].min(), points["x2"].max(), width)
    upright = LogAxis(points["y1"].min(), points["y2"].max(), height)
    centres = [(across.pixel(x), upright.pixel(y)) for x, y in points[["x", "y"]].itertuples(index=False)]
    boxes = place(centres, [6.4 * len(name) + 8 for name in points["algorithm"]], Box(0, 0, width, height))
    nearest = [box.nearest(*centre) for box, centre in zip(boxes, centres, strict=True)]
    points["label_x"] = [across.value(box.x + box.width / 2) for box in boxes]
    points["label_y"] = [upright.value(box.y + box.height / 2) for box in boxes]
    points["lead_x"] = [across.value(x) for x, _ in nearest]
    points["lead_y"] = [upright.value(y) for _, y in nearest]
    title_y = "error: max|y − y*| ÷ max √(x² ⋆ w²)  (down is better)"
    x = alt.X("x:Q", scale=across.scale, axis=times_axis(across, "time ÷ time of the fastest  (left is faster)"))
    y = alt.Y("y:Q", scale=upright.scale, axis=alt.Axis(values=upright.ticks(), labelExpr=POWER, title=title_y))
    rule, text = alt.Chart(points).mark_rule(strokeWidth=3, opacity=0.25), alt.Chart(points)
    at = {"x": alt.X("label_x:Q"), "y": alt.Y("label_y:Q"), "text": alt.Text("algorithm:N")}
    leads = alt.Chart(points).mark_rule(strokeWidth=1.5)
    return stack(
        rule.encode(x=alt.X("x1:Q"), x2=alt.X2("x2:Q"), y=y, color=COLOUR),
        rule.encode(x=x, y=alt.Y("y1:Q"), y2=alt.Y2("y2:Q"), color=COLOUR),
        leads.encode(x=x, x2=alt.X2("lead_x:Q"), y=y, y2=alt.Y2("lead_y:Q"), color=COLOUR),
        text.mark_text(fontSize=12, stroke=PAPER, strokeWidth=4, strokeJoin="round").encode(**at),
        *_markers(points, 90, x=x, y=y),
        text.mark_text(fontSize=12).encode(**at, color=alt.Color("ink:N", scale=None)),
        title=title,
        subtitle="point: geometric mean of the time, median of the error, over the problems that each was timed on; "
        "pale bars: their middle 80%",
        width=width,
        height=height,
    )
