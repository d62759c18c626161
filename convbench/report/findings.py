"""The answer in sentences computed from the tables: who wins where, by how much, how sure; and titles of charts."""

from __future__ import annotations

from itertools import groupby

import pandas as pd

from convbench.bench.stats import LEAST
from convbench.report.problems import Sweep
from convbench.report.tables import geometric_mean
from convbench.units import count, percent, ratio

__all__ = ["ahead", "along", "answer", "most_wins", "span"]

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
    names = {"over_im2col": "im2col", "over_naive": "naive", "over_peer": "the best peer"}
    means = {name: geometric_mean(winners[column]) for column, name in names.items()}
    return ", ".join(f"{ratio(mean)} as fast as {name}" for name, mean in means.items() if mean == mean)


def _ranking(winners: pd.DataFrame) -> str:
    won = winners[winners["winner"] != ""]
    wins = won["winner"].value_counts()
    named = wins if len(wins) <= 5 else wins.head(4)
    said = [f"`{name}` on {number}" for name, number in named.items()]
    if len(wins) > len(named):
        said.append(f"{len(wins) - len(named)} others on the remaining {len(won) - int(named.sum())}")
    return f"Of {count(len(winners), 'problem')}, the fastest of ours is {_joined(said)}."


def _gains(winners: pd.DataFrame) -> str | None:
    """How far the winners are ahead of im2col, naive and python_loops, where those were timed."""
    said = []
    for column, name in (("over_im2col", "im2col"), ("over_naive", "naive"), ("over_python_loops", "python_loops")):
        beaten = winners[(winners["winner"] != name) & winners[column].notna()]
        if len(beaten):
            rough = beaten["rough"].map(lambda names, name=name: name in names.split(", ")).astype(bool)
            timed, more = beaten[~rough], int(rough.sum())
            if timed.empty:
                timed, number = beaten, f"n = {more}, one call or a prediction each"
            else:
                number = f"n = {len(timed)}" + (f"; on {more} more it was too slow to time" if more else "")
            mean, most = geometric_mean(timed[column]), timed[column].max()
            said.append(f"{ratio(mean)} as fast as `{name}` (up to {ratio(most)}, {number})")
    return f"Where it does not win itself, the winner is {_joined(said)}; geometric means." if said else None


def _against_peers(winners: pd.DataFrame) -> str | None:
    met = winners[winners["over_peer"].notna()]
    if met.empty:
        return None
    tied = met["peer_tied"].astype(bool)
    ahead, behind = int((~tied & (met["over_peer"] > 1)).sum()), int((~tied & (met["over_peer"] < 1)).sum())
    worst = met.loc[met["over_peer"].idxmin()]
    peers = _joined([f"`{name}`" for name in sorted(set(met["best_peer"]))])
    text = (
        f"Against the best peer of each problem ({peers}): ahead on {ahead} of {len(met)}, tied on {int(tied.sum())}, "
        f"behind on {behind}; geometric mean {ratio(geometric_mean(met['over_peer']))} as fast."
    )
    if worst["over_peer"] >= 1:
        return text
    where = f"{worst['suite']}, {worst['label']}"
    return f"{text} Worst: {ratio(worst['over_peer'])} as fast as `{worst['best_peer']}` on {where}."


def _certainty(winners: pd.DataFrame) -> str:
    won = winners[winners["winner"] != ""]
    raced = won[won["rounds"] >= LEAST]
    tied = won["tied_with"] != ""
    clear, shared, brief = int((~tied[raced.index]).sum()), int(tied.sum()), len(won) - len(raced)
    said = [f"{clear} of {len(won)} winners are clear: ratios paired round by round rule a tie out at 95%."]
    if shared:
        said.append(f"{shared} share first place; less workspace, then smaller error, then the name decides.")
    if brief:
        said.append(f"{brief} were timed in fewer than {LEAST} rounds, which tell large differences only.")
    if len(raced):
        half = ((raced["time_high"] - raced["time_low"]) / 2 / raced["time"]).median()
        margin = geometric_mean(raced["margin"])
        beyond = f"; the next one that is not tied takes {ratio(margin)} as long (geometric mean)"
        said.append(
            f"The median of the others was timed in {raced['rounds'].median():.0f} rounds, "
            f"its time known to ±{half:.1%}{beyond if margin == margin else ''}."
        )
        if half > NOISY:
            said.append("The machine was busy: repeat the run before you rely on it.")
    return " ".join(said)


def _trouble(frame: pd.DataFrame) -> str | None:
    """Cells whose contender failed in one way or another, by status."""
    harmless = ["ok", "skipped", "hopeless", "out of budget"]
    found = frame.loc[~frame["status"].isin(harmless), "status"].value_counts()
    if found.empty:
        return None
    said = [f"{number} {status}" for status, number in found.items()]
    return f"Not to be trusted: {_joined(said)} of {count(len(frame), 'cell')}; the reasons are below."


def answer(frame: pd.DataFrame, winners: pd.DataFrame) -> list[str]:
    """The sentences at the head of the report, in Markdown's inline code; at least one."""
    if not (winners["winner"] != "").any():
        empty = f"Nothing was timed: none of {count(len(frame), 'cell')} has a sample."
        return [empty, *filter(None, [_trouble(frame)])]
    sentences = [_ranking(winners), _gains(winners), _against_peers(winners), _certainty(winners), _trouble(frame)]
    return [sentence for sentence in sentences if sentence]


def along(sweep: Sweep, winners: pd.DataFrame) -> str:
    """Who is fastest along a sweep: `pointwise at 1, winograd_4x4_3x3 at 3, fft_tiled at 11 to 15`."""
    by_problem = {(row.spec, row.weights): row.winner for row in winners.itertuples(index=False)}
    points = sorted((size, by_problem[problem]) for problem, size in sweep.sizes.items() if by_problem[problem])
    said = []
    for name, run in groupby(points, key=lambda point: point[1]):
        sizes = [size for size, _ in run]
        said.append(f"{name} at {sizes[0]:g}" + (f" to {sizes[-1]:g}" if len(sizes) > 1 else ""))
    return ", ".join(said)
