"""Speed, error and memory at once: per problem the contenders that no other one beats in all three.

The fastest algorithm with error ≤ e and workspace ≤ m is always among them, whatever e and m: the front, in order of
time, answers every such question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from convbench.report.curves import POWER, times_axis
from convbench.report.layout import LogAxis
from convbench.report.palette import GRID, INK, Style, dress, keys
from convbench.report.problems import KEY
from convbench.report.shown import Column, Shown
from convbench.units import scientific, seconds, size

__all__ = ["chosen", "front_table", "front_text", "half_the_error", "pareto_chart"]

PANEL, COLUMNS = (225, 130), 4
SHOWN = 30.0
"""Panels show contenders up to this many times slower than the fastest."""
EXACT = 1e-9
"""Where errors of zero are drawn if there is no other."""
ASPECTS = ["time", "error", "workspace_bytes"]


def _front(points: np.ndarray) -> np.ndarray:
    """Which rows are on the front: no other row is at most as large in every column and smaller in one."""
    each, other = points[:, None], points[None]
    beaten = np.all(each >= other, axis=2) & np.any(each > other, axis=2)
    return ~np.any(beaten, axis=1)


def front_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Every timed contender of ours with a known error: KEY, algorithm, ASPECTS, best_ratio, own_winner, on_front.

    The winner comes first in its problem, then the others by time: a tie that less workspace decided stays decided.
    """
    table = cells[~cells["peer"] & cells["time"].notna() & cells[["error", "workspace_bytes"]].notna().all(axis=1)]
    table = table[[*KEY, "algorithm", *ASPECTS, "best_ratio", "own_winner"]].copy()
    fronts = [pd.Series(_front(group[ASPECTS].to_numpy()), group.index) for _, group in table.groupby(KEY)]
    table["on_front"] = (pd.concat(fronts) if fronts else pd.Series(dtype=bool)) | table["own_winner"]
    order = {key: i for i, key in enumerate(dict.fromkeys(table[KEY].itertuples(index=False, name=None)))}
    table["place"] = [order[key] for key in table[KEY].itertuples(index=False, name=None)]
    table = table.sort_values(["place", "own_winner", "best_ratio"], ascending=[True, False, True], ignore_index=True)
    return table.drop(columns="place")


def chosen(front: pd.DataFrame, max_error: float = np.inf, workspace: float = np.inf) -> pd.DataFrame:
    """The fastest with error ≤ max_error and workspace_bytes ≤ workspace: at most one row per problem of the table."""
    meets = front["on_front"] & (front["error"] <= max_error) & (front["workspace_bytes"] <= workspace)
    return front[meets].drop_duplicates(KEY)


def half_the_error(front: pd.DataFrame) -> pd.Series:
    """Per problem where it can be had: time of the fastest with half of the winner's error, over the winner's."""
    winner = front.drop_duplicates(KEY).set_index(KEY)[["error", "best_ratio"]].add_prefix("first_")
    table = front[front["on_front"]].join(winner, on=KEY)
    halved = table[table["error"] <= table["first_error"] / 2].drop_duplicates(KEY)
    return halved["best_ratio"] / halved["first_best_ratio"]


def _point(row: Any) -> str:
    return f"{row.algorithm} {seconds(row.time)}, {scientific(row.error)}, {size(row.workspace_bytes)}"


def front_text(front: pd.DataFrame) -> Shown:
    """One row per problem: what is on its front, in words; `front` with the problems' label."""
    table = front[front["on_front"]].copy()
    table["point"] = [_point(row) for row in table.itertuples(index=False)]
    joined = table.groupby([*KEY, "label"], sort=False)["point"].agg("; ".join).reset_index()
    columns = Column("problem", "label"), Column("suite", "suite"), Column("algorithm time, error, workspace", "point")
    return Shown(joined, columns)


def pareto_chart(front: pd.DataFrame, rows: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.FacetChart:
    """A panel per problem: error against time over the fastest's; area workspace; filled: on the front of all three."""
    width, height = PANEL
    points = front[front["best_ratio"] <= SHOWN].merge(rows[[*KEY, "label"]], on=KEY)
    inexact = points.loc[points["error"] > 0, "error"]
    points["error"] = points["error"].clip(lower=inexact.min() / 2 if len(inexact) else EXACT)
    points["side"] = np.log2(1 + points["workspace_bytes"] / 4096)
    points = dress(points[["label", "algorithm", "best_ratio", "error", "side", "on_front"]], looks)
    points["fill"] = points["colour"].where(points["on_front"], "transparent")
    points["opacity"] = np.where(points["on_front"], 1.0, 0.55)
    across = LogAxis(1.0, points["best_ratio"].max(), width)
    upright = LogAxis(points["error"].min(), points["error"].max(), height)
    present = set(points["algorithm"])
    colour, shape = keys([style for style in looks if style.algorithm in present], symbolFillColor="transparent")
    chart = (
        alt.Chart(points)
        .mark_point(strokeWidth=1.2)
        .encode(
            x=alt.X("best_ratio:Q", scale=across.scale, axis=times_axis(across, most=5)),
            y=alt.Y("error:Q", scale=upright.scale,
                    axis=alt.Axis(values=upright.ticks(4), labelExpr=POWER, title="error")),
            color=colour,
            shape=shape,
            fill=alt.Fill("fill:N", scale=None),
            opacity=alt.Opacity("opacity:Q", scale=None),
            size=alt.Size("side:Q", scale=alt.Scale(domain=[0, 14], range=[18, 170]), legend=None),
        )
        .properties(width=width, height=height, view=alt.ViewConfig(stroke=GRID))
    )  # fmt: skip
    look = {"labelFontSize": 11, "labelColor": INK, "labelAnchor": "start", "labelPadding": 3}
    header = alt.Header(title=None, labelLimit=width + 30, labelExpr="split(datum.value, ' · ')", **look)
    facet = alt.Facet("label:N", sort=list(rows["label"]), header=header)
    subtitle = [
        "hollow: another one is at most as slow, as wrong and as large; filled: none is, so it is the best choice for "
        "some limits;",
        f"area: workspace; to the right: time ÷ the fastest's (shown up to {SHOWN:g}×); down is more accurate",
    ]
    panels = chart.facet(facet, columns=COLUMNS).resolve_axis(
        x="independent"
    )  # a shared one is drawn where no panel is
    return panels.properties(title=alt.Title(title, subtitle=subtitle))
