"""Roofline (Williams, Waterman & Patterson 2009): flop/s against flop per byte, under the ceilings the probes measured.

Intensity is that of the problem: flop of the direct sum over the bytes of input, weights and output, each moved once.
So a point can pass the slanted ceiling (its data came from a cache) and, doing fewer flop, the level one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import altair as alt
import pandas as pd

from convbench.report.layout import LogAxis, stack
from convbench.report.palette import INK, MUTED, Style, keys
from convbench.report.problems import KEY, PROBLEM, anchor
from convbench.report.shown import Column, Shown
from convbench.spec import ConvSpec
from convbench.units import percent, rate

__all__ = ["Roof", "roofline_chart", "roofline_table", "roofline_text", "roofs"]

WIDTH, HEIGHT = 760, 420
SI = "replace(format(datum.value, '~s'), /([kMGTP]?)$/, ' $1flop/s')"


class Ceiling(NamedTuple):
    """A limit of the machine: median over the problems of what the probes saw, and the middle 80% of them."""

    low: float
    median: float
    high: float


class Roof(NamedTuple):
    """flop/s and bytes/s that the machine reached beside the samples."""

    peak: Ceiling
    bandwidth: Ceiling

    @property
    def ridge(self) -> float:
        """flop per byte from which the peak is the lower ceiling."""
        return self.peak.median / self.bandwidth.median

    def at(self, intensity: pd.Series) -> pd.Series:
        """flop/s of the ceiling over each intensity."""
        return (intensity * self.bandwidth.median).clip(upper=self.peak.median)


def _ceiling(cells: pd.DataFrame, work: str, fraction: str) -> Ceiling:
    """The probe's rate: a fraction is a contender's rate over the probe's of the same moment."""
    rates = (cells[work] / cells["time"] / cells[fraction]).groupby([cells[name] for name in PROBLEM]).median()
    return Ceiling(*(float(rates.quantile(part)) for part in (0.1, 0.5, 0.9)))


def roofs(cells: pd.DataFrame) -> dict[str, Roof]:
    """dtype -> its roof, of cells with both probes."""
    probed = cells[(cells["peak_fraction"] > 0) & (cells["bandwidth_fraction"] > 0)]
    dtype = probed["spec"].map(lambda spec: ConvSpec.parse(spec).dtype)
    work = ("flop", "peak_fraction"), ("min_bytes", "bandwidth_fraction")
    return {name: Roof(*(_ceiling(group, *pair) for pair in work)) for name, group in probed.groupby(dtype)}


def roofline_table(cells: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per problem for our winner and for the best peer: intensity, nominal and executed flop/s, of_roof.

    Problems of rank-1 weights are left out: how much is executed depends on the weights, which a plan does not know.
    """
    names = winners.melt([*KEY, "label"], ["winner", "best_peer"], "role", "algorithm")
    table = names[names["algorithm"] != ""].merge(cells, on=[*KEY, "algorithm"])
    table = table[(table["flop"] > 0) & (table["min_bytes"] > 0) & (table["weights"] != "rank1")]
    table["dtype"] = [ConvSpec.parse(spec).dtype for spec in table["spec"]]
    table["intensity"] = table["flop"] / table["min_bytes"]
    table["nominal"], table["executed"] = table["flop"] / table["time"], table["executed_flop"] / table["time"]
    for dtype, roof in roofs(cells).items():
        mine = table["dtype"] == dtype
        table.loc[mine, "of_roof"] = table["nominal"] / roof.at(table["intensity"])
    table["anchor"] = [anchor(*problem) for problem in table[KEY].itertuples(index=False)]
    columns = ["label", "algorithm", "peer", "dtype", "intensity", "nominal", "executed", "of_roof", "anchor"]
    return table.reindex(columns=columns)


def roofline_text(table: pd.DataFrame) -> Shown:
    """The table in words."""
    flops = partial(rate, unit="flop/s")
    columns = (
        *(
            Column("problem", "label"),
            Column("algorithm", "algorithm"),
            Column("flop per byte", "intensity", "{:.3g}".format),
        ),
        *(Column("nominal", "nominal", flops), Column("executed", "executed", flops)),
        Column("of the ceiling", "of_roof", percent),
    )
    return Shown(table, columns, link="anchor")


def roofline_chart(table: pd.DataFrame, roof: Roof, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Points of one dtype under its roof: filled nominal, with a stem to the executed flop/s; hollow the best peer."""
    table = table.assign(executed=table["executed"].where(table["executed"] > 0, table["nominal"]))
    table["href"] = "#" + table["anchor"]
    rates = pd.concat([table["nominal"], table["executed"]])
    across = LogAxis(
        min(table["intensity"].min(), roof.ridge / 3), max(table["intensity"].max(), roof.ridge * 3), WIDTH
    )
    upright = LogAxis(min(rates.min(), roof.peak.median / 10), max(rates.max(), roof.peak.high), HEIGHT)
    least, most = across.value(0), across.value(WIDTH)
    edge = pd.DataFrame({"x": [least, roof.ridge, most]})
    edge["y"] = roof.at(edge["x"])
    edge["low"] = (edge["x"] * roof.bandwidth.low).clip(upper=roof.peak.low)
    edge["high"] = (edge["x"] * roof.bandwidth.high).clip(upper=roof.peak.high)
    x = alt.X("intensity:Q", scale=across.scale, title="flop of the direct sum per byte that has to move",
              axis=alt.Axis(values=across.ticks(), format="~r", grid=False))  # fmt: skip
    y = alt.Y("nominal:Q", scale=upright.scale, title=None,
              axis=alt.Axis(values=upright.ticks(), labelExpr=SI))  # fmt: skip
    notes = pd.DataFrame(
        [
            (roof.ridge, roof.peak.high, f"FMA peak {rate(roof.peak.median, 'flop/s')}", "right"),
            (least, float(edge["low"][0]), f"memory {rate(roof.bandwidth.median, 'B/s')}", "left"),
        ],
        columns=["x", "y", "text", "align"],
    )
    fields = ["algorithm", "intensity", "nominal", "executed", "href", "peer"]
    table = table[fields].astype({"peer": bool})
    own, peers = table[~table["peer"]], table[table["peer"]]
    colour, shape = keys([style for style in looks if style.algorithm in set(table["algorithm"])])
    lines = alt.Chart(edge)
    band, stems = {"y": alt.Y("low:Q"), "y2": alt.Y2("high:Q")}, alt.Chart(own)
    layers = [
        lines.mark_area(color=MUTED, opacity=0.18, clip=True).encode(x=alt.X("x:Q"), **band),
        lines.mark_line(color=INK, strokeWidth=2, clip=True).encode(x=alt.X("x:Q"), y=alt.Y("y:Q")),
        stems.mark_rule(strokeWidth=1).encode(x=x, y=y, y2=alt.Y2("executed:Q"), color=colour),
        stems.mark_tick(thickness=2, size=9, orient="horizontal").encode(x=x, y=alt.Y("executed:Q"), color=colour),
    ]
    for points, filled in ((peers, False), (own, True)):
        marks = alt.Chart(points).mark_point(size=60 if filled else 40, filled=filled, opacity=1)
        layers.append(marks.encode(x=x, y=y, color=colour, shape=shape, href=alt.Href("href:N")))
    for align in ("left", "right"):
        text = alt.Chart(notes[notes["align"] == align]).mark_text(
            align=align, dx=6 if align == "left" else -6, dy=-9 if align == "right" else 14, fontSize=12, color=INK
        )
        layers.append(text.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("text:N")))
    return stack(
        *layers,
        title=title,
        subtitle=[
            "marker: flop of the direct sum per second; stem: to those that the algorithm executes; hollow: best peer",
            "lines: what the probes beside the samples reached, median, and the middle 80% of problems as a pale band",
        ],
        width=WIDTH,
        height=HEIGHT,
    )
