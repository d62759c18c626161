"""Titles of charts: what each of them shows, in words computed from the tables."""

from __future__ import annotations

from itertools import groupby

import pandas as pd

from convbench.report.crossover import WinnerMap
from convbench.report.pareto import half_the_error
from convbench.report.problems import KEY, Sweep
from convbench.report.regret import AUTO
from convbench.report.roofline import Roof
from convbench.report.tables import SpeedUp, geometric_mean, speed_up
from convbench.units import count, joined, percent, rate, ratio, seconds

AGAINST = {"im2col": "im2col", "naive": "naive", "peer": "the best peer"}
"""What the winners are held against, and how it is called."""


def span(values: pd.Series, words: str = "to") -> str:
    """62% to 231%, or 62% when all are alike."""
    low, high = percent(values.min()), percent(values.max())
    return low if low == high else f"{low} {words} {high}"


def most_wins(winners: pd.DataFrame) -> str:
    """winograd_4x4_3x3 wins most often: 12 of 51 problems; or who shares the most wins."""
    wins = winners.loc[winners["winner"] != "", "winner"].value_counts()
    leaders = list(wins.index[wins == wins.iloc[0]])
    problems = count(len(winners), "problem")
    if len(leaders) == 1:
        return f"{leaders[0]} wins most often: {wins.iloc[0]} of {problems}"
    if len(leaders) <= 3:
        return f"{joined(leaders)} win {wins.iloc[0]} of {problems} each"
    return f"{len(wins)} algorithms share the wins of {problems}"


def ahead(winners: pd.DataFrame) -> str:
    """1.9× as fast as im2col, 1.2× as fast as the best peer: geometric means of the winners' speed-ups; "" for none."""
    means = {said: speed_up(winners, name) for name, said in AGAINST.items()}
    return ", ".join(
        f"{ratio(found.mean)} as fast as {said}" + ("" if found.n == len(winners) else f" (n = {found.n})")
        for said, found in means.items()
        if found.mean == found.mean
    )


def between(values: pd.Series) -> str:
    """1.10 s to 17.7 s, of the values above zero."""
    some = values[values > 0]
    if some.empty:
        return "nothing"
    low, high = seconds(some.min()), seconds(some.max())
    return low if low == high else f"{low} to {high}"


def over_baseline(baseline: str, found: SpeedUp) -> str:
    """How far the winners are ahead of a baseline, and on how many problems that is known."""
    if found.hopeless > found.n:
        return f"{baseline} was hopeless on {found.hopeless} problems, and timed and beaten on {found.n}"
    more = f", hopeless on {found.hopeless} more" if found.hopeless else ""
    return f"Winners are {ratio(found.mean)} as fast as {baseline} (geometric mean of {found.n} that it loses{more})"


def shares(found: WinnerMap) -> str:
    """On how many cells of a winner map the winner is sure."""
    sure = sum(cell.sure for cell in found.cells.values())
    return f"{sure} of {count(len(found.cells), 'cell')} clear"


def under_the_roof(points: pd.DataFrame, roof: Roof, dtype: str) -> str:
    """Where the ceilings of a roofline are, and how near to them half of the winners get."""
    near = points.loc[~points["peer"].astype(bool), "of_roof"].median()
    limits = f"{rate(roof.peak.median, 'flop/s')}, {rate(roof.bandwidth.median, 'B/s')}"
    return f"Half of the {dtype} winners reach {percent(near)} or more of their ceiling ({limits})"


def lost(summary: pd.DataFrame) -> str:
    """What the selector loses beside always taking one algorithm."""
    mean = dict(zip(summary["rule"], summary["mean"], strict=True))
    if AUTO not in mean:
        return "Time lost by always taking one algorithm"
    others = [f"{rule} {ratio(value)}" for rule, value in mean.items() if rule != AUTO]
    beside = f" ({', '.join(others)})" if others else ""
    return f"Choosing by the cost model takes {ratio(mean[AUTO])} the best time{beside}"


def traded(suite: str, front: pd.DataFrame) -> str:
    """What half of the winner's error costs; front as from `pareto.front_table`, of one suite."""
    costs = half_the_error(front)
    problems = len(front.drop_duplicates(KEY))
    if costs.empty:
        return f"{suite}: no algorithm has half of the winner's error"
    mean = ratio(geometric_mean(costs))
    return (
        f"{suite}: half of the winner's error costs {mean} its time (to be had on {len(costs)} of {problems} problems)"
    )


def longest_phases(told: pd.DataFrame) -> str:
    """The phase that takes most, over all cells of `phases.phase_table`."""
    cells = len(told.drop_duplicates([*KEY, "algorithm"]))
    shares = (told.groupby("phase")["share"].sum() / cells).sort_values(ascending=False)
    longest, part = str(shares.index[0]).capitalize(), percent(shares.iloc[0])
    return f"{longest} takes {part} of the time, the mean of {count(cells, 'cell')}"


def gained(scaled: pd.DataFrame) -> str:
    """What the most threads bring, over all cells of `scaling.scaling_table`, beside the machine's own gain."""
    most = scaled[scaled["threads"] == scaled["threads"].max()]
    gain, machine = (ratio(geometric_mean(most[name])) for name in ("gain", "machine"))
    return (
        f"{count(int(most['threads'].iloc[0]), 'thread')} are {gain} as fast as one; the machine itself gains {machine}"
    )


def whole(suite: str, rows: pd.DataFrame) -> str:
    """The total of a network or of the part measured, and the best peer's; rows of `network_table`, in order."""
    first = rows.iloc[0]
    peers = rows[rows["peer"].astype(bool)]
    beside = f", {peers['algorithm'].iloc[0]} {seconds(peers['seconds'].iloc[0])}" if len(peers) else ""
    part, layers = int(first["occurrences"]) < first["whole"], count(int(first["whole"]), "layer")
    held = f"Part of {suite}, {first['occurrences']:.0f} of its {layers}" if part else f"{suite}, all {layers}"
    return f"{held}: {seconds(first['seconds'])} with our winner of each{beside}"


def along(sweep: Sweep, winners: pd.DataFrame) -> str:
    """Who is fastest along a sweep: `pointwise at 1, winograd_4x4_3x3 at 3, fft_tiled at 11 to 15`."""
    by_problem = {(row.spec, row.weights): row.winner for row in winners.itertuples(index=False)}
    points = sorted((size, by_problem[problem]) for problem, size in sweep.sizes.items() if by_problem[problem])
    said = []
    for name, run in groupby(points, key=lambda point: point[1]):
        sizes = [size for size, _ in run]
        said.append(f"{name} at {sizes[0]:g}" + (f" to {sizes[-1]:g}" if len(sizes) > 1 else ""))
    return ", ".join(said)
