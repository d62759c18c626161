"""The answer in sentences computed from the tables: who wins where, by how much, how sure; and titles of charts."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pandas as pd

from convbench.algorithm import direct_error
from convbench.bench.stats import LEAST
from convbench.report.crossover import WinnerMap
from convbench.report.pareto import half_the_error
from convbench.report.problems import KEY, Sweep
from convbench.report.regret import AUTO
from convbench.report.roofline import Roof
from convbench.report.tables import SpeedUp, beaten, geometric_mean, speed_up
from convbench.select import ADMITTED
from convbench.spec import ConvSpec
from convbench.units import count, percent, rate, ratio, seconds

__all__ = [
    *(
        "ahead",
        "along",
        "answer",
        "between",
        "beyond_default",
        "details",
        "gained",
        "longest_phases",
        "lost",
        "most_wins",
        "over_baseline",
        "shares",
        "span",
        "traded",
    ),
    *("under_the_roof", "whole"),
]

AGAINST = {"im2col": "im2col", "naive": "naive", "peer": "the best peer"}
FEW = 3
"""So many peers are named where the best of them is spoken of."""
NOISY = 0.1
"""Half an interval over the median time beyond which a run is called noisy."""


def _joined(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


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
        return f"{_joined(leaders)} win {wins.iloc[0]} of {problems} each"
    return f"{len(wins)} algorithms share the wins of {problems}"


def ahead(winners: pd.DataFrame) -> str:
    """1.9× as fast as im2col, 1.2× as fast as the best peer: geometric means of the winners' speed-ups; "" for none."""
    means = {said: speed_up(winners, name) for name, said in AGAINST.items()}
    return ", ".join(
        f"{ratio(found.mean)} as fast as {said}" + ("" if found.n == len(winners) else f" (n = {found.n})")
        for said, found in means.items()
        if found.mean == found.mean
    )


def _ranking(winners: pd.DataFrame) -> str:
    won = winners[winners["winner"] != ""]
    wins = won["winner"].value_counts()
    named = wins if len(wins) <= 5 else wins.head(4)
    said = [f"`{name}` on {number}" for name, number in named.items()]
    if len(wins) > len(named):
        said.append(f"{len(wins) - len(named)} others on the remaining {len(won) - int(named.sum())}")
    return f"Of {count(len(winners), 'problem')}, the fastest of ours is {_joined(said)}."


def _peers(winners: pd.DataFrame) -> str:
    """The best peer: by name where few of them ever were, so that nobody takes SciPy for a framework."""
    names = [f"`{name}`" for name in sorted(set(winners["best_peer"]) - {""})]
    return f"{AGAINST['peer']}, {' or '.join(names)}," if len(names) <= FEW else AGAINST["peer"]


def _gains(winners: pd.DataFrame) -> str | None:
    """How far the winners are ahead of im2col, naive and the best peer, where that can be said: the second sentence."""
    said = []
    for name, words in AGAINST.items():
        found = speed_up(winners, name)
        if found.mean == found.mean:
            more = f", hopeless on {found.hopeless} more" if found.hopeless else ""
            coded = _peers(winners) if name == "peer" else f"`{words}`"
            said.append(f"{ratio(found.mean)} as fast as {coded} (n = {found.n}{more})")
    met = winners[winners["over_peer"].notna()]
    behind = int((~met["peer_tied"].astype(bool) & (met["over_peer"] < 1)).sum())
    tail = "" if met.empty else f", which is faster on {behind or 'none'} of these"
    return f"In the geometric mean the winner is {_joined(said)}{tail}." if said else None


def _certainty(winners: pd.DataFrame) -> str:
    """How sure that is: the third sentence."""
    won = winners[winners["winner"] != ""]
    raced = won[won["rounds"] >= LEAST]
    tied = won["tied_with"] != ""
    clear, shared = int((~tied[raced.index]).sum()), int(tied.sum())
    said = [f"{clear} of {len(won)} winners are clear at 95%"]
    if shared:
        said.append(f"{shared} share first place with another")
    if brief := len(won) - len(raced):
        said.append(f"{brief} were timed in fewer than {LEAST} rounds")
    if len(raced):
        half = _half(raced)
        busy = ", so the machine was busy: repeat the run before you rely on it" if half > NOISY else ""
        said.append(f"a typical winner's time is known to ±{half:.1%}{busy}")
    return f"{_joined(said)}."


def _half(raced: pd.DataFrame) -> float:
    return float(((raced["time_high"] - raced["time_low"]) / 2 / raced["time"]).median())


def _against_peers(winners: pd.DataFrame) -> str | None:
    met = winners[winners["over_peer"].notna()]
    if met.empty:
        return None
    tied = met["peer_tied"].astype(bool)
    ahead, behind = int((~tied & (met["over_peer"] > 1)).sum()), int((~tied & (met["over_peer"] < 1)).sum())
    worst = met.loc[met["over_peer"].idxmin()]
    peers = _joined([f"`{name}`" for name in sorted(set(met["best_peer"]))])
    text = (
        f"Best peers ({peers}): ours is ahead on {ahead} of {len(met)}, tied on {int(tied.sum())}, behind on {behind}."
    )
    if worst["over_peer"] >= 1:
        return text
    where = f"{worst['suite']}, {worst['label']}"
    return f"{text} Worst: {ratio(worst['over_peer'])} as fast as `{worst['best_peer']}` on {where}."


def beyond_default(winners: pd.DataFrame) -> str | None:
    """The winners that `fastest` passes over unless max_error admits them, for their bounds."""
    won = winners[winners["winner"] != ""]
    limits = np.array([ADMITTED * direct_error(ConvSpec.parse(spec)) for spec in won["spec"]])
    passed = won[won["bound"].to_numpy() > limits]
    if passed.empty:
        return None
    names = _joined([f"`{name}`" for name in sorted(set(passed["winner"]))])
    return (
        f"{len(passed)} of {len(won)} winners ({names}) have an error bound above {ADMITTED:g} times the direct sum's, "
        "which `fastest` takes only if `max_error` allows it."
    )


def _baselines(winners: pd.DataFrame) -> str | None:
    """The range behind the means, and the baselines that were too slow to time."""
    said = []
    for name in ("im2col", "naive", "python_loops"):
        found = beaten(winners, name)
        timed, more = found.loc[~found["rough"], "over"], int(found["rough"].sum())
        text = f"`{name}`: " + (f"{ratio(timed.min())} to {ratio(timed.max())} on {len(timed)}" if len(timed) else "")
        if more:
            text += f"{', ' if len(timed) else ''}too slow to time on {more}"
        if len(timed) or more:
            said.append(text)
    return f"Speed-ups over the baselines where they lose. {'; '.join(said)}." if said else None


def _trouble(frame: pd.DataFrame) -> str | None:
    """Cells whose contender failed in one way or another, by status."""
    harmless = ["ok", "skipped", "hopeless", "out of budget"]
    found = frame.loc[~frame["status"].isin(harmless), "status"].value_counts()
    if found.empty:
        return None
    said = [f"{number} {status}" for status, number in found.items()]
    return f"Not to be trusted: {_joined(said)} of {count(len(frame), 'cell')}; the reasons are below."


def answer(frame: pd.DataFrame, winners: pd.DataFrame) -> list[str]:
    """Three sentences in Markdown's inline code: who wins, by how much, how sure; then a warning where one is due."""
    if not (winners["winner"] != "").any():
        empty = f"Nothing was timed: none of {count(len(frame), 'cell')} has a sample."
        return [empty, *filter(None, [_trouble(frame)])]
    sentences = [_ranking(winners), _gains(winners), _certainty(winners), _trouble(frame)]
    return [sentence for sentence in sentences if sentence]


def details(winners: pd.DataFrame) -> list[str]:
    """What the three sentences leave out."""
    if not (winners["winner"] != "").any():
        return []
    ties = (
        "A tie is decided by less workspace, then the smaller error, then the name. Clear: ratios paired round by "
        f"round rule a tie out at 95%; fewer than {LEAST} rounds tell large differences only."
    )
    margin = geometric_mean(winners["margin"])
    beyond = f"The fastest of ours that is not tied takes {ratio(margin)} as long as the winner (geometric mean)."
    found = [
        _against_peers(winners),
        _baselines(winners),
        beyond_default(winners),
        ties,
        beyond if margin == margin else None,
    ]
    return [sentence for sentence in found if sentence]


# Titles of charts


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
