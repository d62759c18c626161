"""Regret: the time lost by a rule that picks an algorithm, against the fastest one that was measured.

The rule of `auto` before anything is measured is the least predicted time among the algorithms whose error bound it
admits; other rules always take one algorithm. All are compared with the fastest of ours that `auto` admits, on
problems with dense weights: a call does not know more of its weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from convbench.algorithm import direct_error
from convbench.report.bars import mark, right, rows_of
from convbench.report.curves import times_axis
from convbench.report.layout import LogAxis, stack
from convbench.report.palette import COLOUR, INK, PAPER, Style, dress
from convbench.report.problems import KEY, PROBLEM
from convbench.report.shown import Column, Shown
from convbench.report.tables import geometric_mean, with_ratios
from convbench.select import ADMITTED
from convbench.spec import ConvSpec
from convbench.units import NOTHING, percent, ratio

__all__ = ["AUTO", "regret_chart", "regret_summary", "regret_table", "regret_text"]

AUTO = "auto"
ALWAYS = ("direct", "im2col")
WIDTH, ROW = 520, 26


def _admitted(cells: pd.DataFrame) -> pd.Series:
    limits = {spec: ADMITTED * direct_error(ConvSpec.parse(spec)) for spec in cells["spec"].unique()}
    return ~cells["peer"] & (cells["bound"] <= cells["spec"].map(limits))


def regret_table(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per rule and problem: PROBLEM, rule, algorithm, regret (time over the best's, ≥ 1), rough, repeats.

    A rule whose algorithm does not apply to a problem has no row there. rough: it was hopeless, so that its time is
    that of one call or a prediction. Of the rules that always take one algorithm: ALWAYS, and the one of least regret
    among those that applied everywhere.
    """
    cells = cells[cells["weights"] == "dense"].drop_duplicates([*PROBLEM, "algorithm"])
    cells = with_ratios(cells[_admitted(cells)])
    first = cells.dropna(subset="predicted_s").sort_values(["predicted_s", "algorithm"]).drop_duplicates(PROBLEM)
    cells = cells.dropna(subset="ratio")
    best = cells[cells["time"].notna()].groupby(PROBLEM)["ratio"].min().rename("best")
    cells = cells.merge(best, on=PROBLEM)
    cells["regret"] = cells["ratio"] / cells["best"]
    predicted = cells.merge(first[[*PROBLEM, "algorithm"]])
    always = dict(list(cells.groupby("algorithm")))
    everywhere = [name for name, group in always.items() if len(group) == len(best)]
    means = {name: geometric_mean(always[name]["regret"]) for name in everywhere}
    steady = [min(means, key=means.__getitem__)] if means else []
    names = [name for name in dict.fromkeys([*ALWAYS, *steady]) if name in always]
    rules = [predicted.assign(rule=AUTO), *(always[name].assign(rule=f"always {name}") for name in names)]
    return pd.concat(rules, ignore_index=True)[[*KEY, "rule", "algorithm", "regret", "rough", "repeats"]]


def regret_summary(table: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per rule: problems, mean (geometric), weighted (by occurrences), right (within 5%), worst, and where."""
    labels = winners.set_index(KEY)["label"]
    rows = []
    for rule, group in table.groupby("rule", sort=False):
        weights = group["repeats"].fillna(1)
        worst = group.loc[group["regret"].idxmax()]
        row = {"rule": rule, "problems": len(group), "mean": geometric_mean(group["regret"])}
        row |= {"weighted": float(np.exp(np.average(np.log(group["regret"]), weights=weights)))}
        row |= {"right": float((group["regret"] <= 1.05).mean()), "worst": worst["regret"]}
        row |= {"took": worst["algorithm"] + (", hopeless there" if worst["rough"] else "")}
        rows.append(row | {"where": f"{worst['suite']}, {labels.get(tuple(worst[KEY]), NOTHING)}"})
    return pd.DataFrame(rows)


def regret_text(summary: pd.DataFrame) -> Shown:
    """The summary in words."""
    columns = (
        *(Column("rule", "rule"), Column("problems", "problems", str), Column("geometric mean", "mean", ratio)),
        *(Column("by occurrence", "weighted", ratio), Column("within 5% of the best", "right", percent)),
        *(Column("worst", "worst", ratio), Column("with", "took"), Column("on", "where")),
    )
    return Shown(summary, columns)


def regret_chart(table: pd.DataFrame, summary: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Per rule: its regret on each problem, coloured by what it took, and the geometric mean."""
    points = dress(table[["rule", "algorithm", "regret", "rough"]], looks)
    means = summary[["rule", "mean", "problems"]].copy()
    means["text"] = [f"{ratio(row.mean)}  (n = {row.problems})" for row in means.itertuples(index=False)]
    axis = LogAxis(1.0, max(2.0, points["regret"].max()), WIDTH)
    x = alt.X("regret:Q", scale=axis.scale, axis=times_axis(axis, "time of the rule's choice ÷ time of the best"))
    y = rows_of(list(summary["rule"]), "rule")
    solid, hollow = alt.Chart(points[~points["rough"]]), alt.Chart(points[points["rough"]])
    ticks = alt.Chart(means[["rule", "mean"]])
    return stack(
        mark(1.0),
        solid.mark_point(size=40, filled=True, opacity=0.6).encode(x=x, y=y, color=COLOUR),
        hollow.mark_point(size=34, filled=False, opacity=0.7, strokeWidth=1.2).encode(x=x, y=y, color=COLOUR),
        ticks.mark_tick(thickness=5, size=22, color=PAPER, opacity=1).encode(x=alt.X("mean:Q"), y=y),
        ticks.mark_tick(thickness=3, size=20, color=INK, opacity=1).encode(x=alt.X("mean:Q"), y=y),
        right(means[["rule", "text"]], y, WIDTH),
        title=title,
        subtitle="dot: a problem, coloured as what was taken; hollow: hopeless there; bar and number: geometric mean",
        width=WIDTH,
        height=ROW * len(summary),
    )
