"""Whole networks: the times of the layers, each as often as the network has it, added up per contender."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import altair as alt
import pandas as pd

from convbench import suites
from convbench.report.bars import right, rows_of
from convbench.report.curves import SECONDS
from convbench.report.layout import stack
from convbench.report.palette import COLOUR, INK, Style, dress
from convbench.report.problems import KEY
from convbench.report.regret import AUTO
from convbench.report.shown import Column, Shown
from convbench.units import count, percent, rate, ratio, seconds

__all__ = ["BEST", "network_chart", "network_table", "network_text"]

BEST = "our winner of each layer"
CHOSEN = "auto, by its cost model"
WIDTH, ROW = 460, 24
LEAST = 0.8
"""Contenders that were timed on less of a network's work are left out."""


def _networks(cells: pd.DataFrame) -> list[str]:
    """Suites in which some problem occurs more than once: layers of a network. The others are collections."""
    return list(dict.fromkeys(cells.loc[cells["repeats"] > 1, "suite"]))


def _own(suite: str, cells: pd.DataFrame) -> tuple[int, int]:
    """(different layers, occurrences) of the network: of a built-in suite's all, of any other those in the run."""
    held = cells[cells["suite"] == suite].drop_duplicates(KEY)
    if suite in suites.names():
        layers = {problem.spec.name: problem.spec.repeats for problem in suites.load(suite)}
        if set(held["problem_name"]) <= set(layers):  # and not a file of the same name
            return len(layers), sum(layers.values())
    return len(held), int(held["repeats"].sum())


def network_table(cells: pd.DataFrame, winners: pd.DataFrame, regrets: pd.DataFrame) -> pd.DataFrame:
    """One row per network and contender: layers and share of the flop covered, seconds, low, high, flops, behind.

    of: different layers that the run has times of; own: those of the network; occurrences, whole: the same with repeats
    of the contender and of the network. seconds: sum of repeats × median time over the layers on which the contender
    was timed; low, high: that of the ends of the intervals. behind: the same sum over that of BEST on the same layers.
    CHOSEN takes what `auto` predicts to be fastest, and has a row where that was timed on every layer.
    """
    timed = cells[cells["time"].notna() & cells["suite"].isin(_networks(cells))]
    best = timed[timed["own_winner"]].assign(algorithm=BEST, peer=False)
    choice = regrets.loc[regrets["rule"] == AUTO, ["spec", "weights", "algorithm"]]
    auto = timed.merge(choice, on=["spec", "weights", "algorithm"]).assign(algorithm=CHOSEN, peer=False)
    rows = []
    every = pd.concat([best, auto, timed], ignore_index=True)
    reference = best.set_index(KEY)["time"].rename("best")
    every = every.join(reference, on=KEY).dropna(subset="best")
    for column in ("time", "time_low", "time_high", "best", "flop"):
        every[column] = every[column] * every["repeats"].fillna(1)
    problems = best.groupby("suite").size()
    flop = every[every["algorithm"] == BEST].groupby("suite")["flop"].sum()
    own = {suite: _own(str(suite), cells) for suite in problems.index}
    for (suite, algorithm, peer), group in every.groupby(["suite", "algorithm", "peer"], sort=False):
        total = group["time"].sum()
        row = {"suite": suite, "algorithm": algorithm, "peer": peer, "layers": len(group), "of": problems[suite]}
        row |= {"own": own[suite][0], "occurrences": group["repeats"].sum(), "whole": own[suite][1]}
        row |= {"share": group["flop"].sum() / flop[suite], "seconds": total, "low": group["time_low"].sum()}
        row |= {"high": group["time_high"].sum(), "flops": group["flop"].sum() / total}
        rows.append(row | {"behind": total / group["best"].sum()})
    columns = ["suite", "algorithm", "peer", "layers", "of", "own", "occurrences", "whole", "share", "seconds"]
    columns += ["low", "high", "flops", "behind"]
    table = pd.DataFrame(rows, columns=columns)
    table = table[(table["share"] >= LEAST) & ((table["algorithm"] != CHOSEN) | (table["layers"] == table["of"]))]
    table["partial"] = table["layers"] < table["of"]
    ranks = {
        "place": table["suite"].map({suite: i for i, suite in enumerate(_networks(cells))}),
        "later": table["algorithm"] != BEST,
    }
    order = ["place", "later", "partial", "seconds"]
    return table.assign(**ranks).sort_values(order, ignore_index=True).drop(columns=list(ranks))


def network_text(table: pd.DataFrame) -> Shown:
    """The table in words."""
    columns = (
        *(Column("network", "suite"), Column("contender", "algorithm"), Column("layers", "layers", str)),
        *(Column("of those measured", "of", str), Column("of the network's", "own", str)),
        *(Column("of the measured flop", "share", percent), Column("time", "seconds", seconds)),
        *(Column("from", "low", seconds), Column("to", "high", seconds)),
        *(Column("nominal", "flops", partial(rate, unit="flop/s")), Column("÷ our winners", "behind", ratio)),
    )
    return Shown(table, columns)


def network_chart(table: pd.DataFrame, looks: Sequence[Style], layers: int, title: str) -> alt.LayerChart:
    """One network: a bar per contender that was timed on every layer, with its interval."""
    bars = dress(table[["algorithm", "seconds", "low", "high", "behind"]], looks)
    bars["colour"] = bars["colour"].fillna(INK)
    bars["text"] = [f"{seconds(row.seconds)}  {ratio(row.behind)}" for row in bars.itertuples(index=False)]
    scale = alt.Scale(domain=[0, bars["high"].max()], nice=False)
    axis = alt.Axis(labelExpr=SECONDS, tickCount=6, title="time of these layers, each as often as it occurs")
    x, y = alt.X("seconds:Q", scale=scale, axis=axis), rows_of(list(bars["algorithm"]), "algorithm")
    base = alt.Chart(bars)
    return stack(
        base.mark_bar(height=14).encode(x=x, y=y, color=COLOUR),
        base.mark_rule(strokeWidth=1.5, color=INK).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y),
        right(bars[["algorithm", "text"]], y, WIDTH),
        title=title,
        subtitle=f"{count(layers, 'different layer')}; line: sum of the ends of the intervals; ×: over the first",
        width=WIDTH,
        height=ROW * len(bars),
    )
