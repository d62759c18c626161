"""The answer in sentences computed from the tables: who wins where, by how much, how sure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convbench.algorithm import direct_error
from convbench.bench.stats import LEAST
from convbench.report.tables import beaten, geometric_mean, speed_up
from convbench.report.titles import AGAINST
from convbench.select import ADMITTED
from convbench.spec import ConvSpec
from convbench.units import count, joined, ratio

__all__ = ["answer", "beyond_default", "details"]

FEW = 3
"""So many peers are named where the best of them is spoken of."""
NOISY = 0.1
"""Half an interval over the median time beyond which a run is called noisy."""


def _ranking(winners: pd.DataFrame) -> str:
    won = winners[winners["winner"] != ""]
    wins = won["winner"].value_counts()
    named = wins if len(wins) <= 5 else wins.head(4)
    said = [f"`{name}` on {number}" for name, number in named.items()]
    if len(wins) > len(named):
        said.append(f"{len(wins) - len(named)} others on the remaining {len(won) - int(named.sum())}")
    return f"Of {count(len(winners), 'problem')}, the fastest of ours is {joined(said)}."


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
    return f"In the geometric mean the winner is {joined(said)}{tail}." if said else None


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
    return f"{joined(said)}."


def _half(raced: pd.DataFrame) -> float:
    return float(((raced["time_high"] - raced["time_low"]) / 2 / raced["time"]).median())


def _against_peers(winners: pd.DataFrame) -> str | None:
    met = winners[winners["over_peer"].notna()]
    if met.empty:
        return None
    tied = met["peer_tied"].astype(bool)
    ahead, behind = int((~tied & (met["over_peer"] > 1)).sum()), int((~tied & (met["over_peer"] < 1)).sum())
    worst = met.loc[met["over_peer"].idxmin()]
    peers = joined([f"`{name}`" for name in sorted(set(met["best_peer"]))])
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
    names = joined([f"`{name}`" for name in sorted(set(passed["winner"]))])
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
        ends = dict.fromkeys((ratio(timed.min()), ratio(timed.max())))
        text = f"`{name}`: " + (f"{' to '.join(ends)} on {len(timed)}" if len(timed) else "")
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
    return f"Not to be trusted: {joined(said)} of {count(len(frame), 'cell')}; the reasons are below."


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
