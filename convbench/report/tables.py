"""What the report says in rows: winners, algorithms, classes of problems, and why cells are empty.

Every function takes the frame of `bench.records.cells` (one row per problem and algorithm) and gives a new frame with
bare numbers: seconds, ratios, fractions. A winner is always ours; the best peer stands beside it with its ratio.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from convbench.bench.stats import LEAST
from convbench.report.problems import CLASSES, KEY, describe
from convbench.units import NOTHING, percent, ratio, scientific, seconds

__all__ = [
    "SpeedUp",
    "algorithm_table",
    "class_table",
    "class_winners",
    "geometric_mean",
    "reason_table",
    "speed_up",
    "spread",
    "winner_table",
    "winner_text",
    "with_ratios",
]

BASELINES = ("im2col", "naive", "python_loops")
GRAVEST = ("failed", "crashed", "timed out", "weak test", "out of budget", "skipped", "hopeless")
TEXT = ("winner", "tied_with", "runner_up", "best_peer", "rough", "peer_tied")
COPIED = ("time", "time_low", "time_high", "peak_fraction", "bandwidth_fraction", "error", "bound", "workspace_bytes",
          "rounds")  # fmt: skip
NUMBERS = ("margin", "over_peer", *(f"over_{name}" for name in BASELINES), *COPIED)


def geometric_mean(values: pd.Series) -> float:
    """exp of the mean logarithm of the finite values; NaN for none."""
    values = values.dropna()
    return float(np.exp(np.log(values).mean())) if len(values) else float("nan")


class SpeedUp(NamedTuple):
    """How much faster the winners are than a contender: geometric mean over the n problems on which both were timed.

    hopeless: on how many more it was too slow to be timed. Where these are the more, the mean is NaN: of the few
    problems that it is fit for, it would be far from the others.
    """

    mean: float
    n: int
    hopeless: int

    def said(self, problems: int) -> str:
        """2.40×, or 2.40× (n = 30) where that is not all of the problems, or hopeless on 33."""
        if self.hopeless > self.n:
            return f"hopeless on {self.hopeless}"
        return ratio(self.mean) if self.n in (0, problems) else f"{ratio(self.mean)} (n = {self.n})"


def mean_speed_up(values: pd.Series, rough: pd.Series) -> SpeedUp:
    """From ratios (above 1 the winner is faster) and whether each is that of a hopeless one, which was not timed."""
    timed, hopeless = values[values.notna() & ~rough], int((values.notna() & rough).sum())
    return SpeedUp(float("nan") if hopeless > len(timed) else geometric_mean(timed), len(timed), hopeless)


def beaten(winners: pd.DataFrame, name: str) -> pd.DataFrame:
    """Columns over and rough of the problems that a baseline (or "peer", the best of each) lost: see `winner_table`."""
    lost = winners[(winners["winner"] != name) & winners[f"over_{name}"].notna()]
    rough = lost["rough"].map(lambda names: name in names.split(", ")).astype(bool)
    return pd.DataFrame({"over": lost[f"over_{name}"], "rough": rough})


def speed_up(winners: pd.DataFrame, name: str) -> SpeedUp:
    """The mean speed-up of the winners over a baseline, or over "peer", where it does not win itself."""
    found = beaten(winners, name)
    return mean_speed_up(found["over"], found["rough"])


def with_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds ratio, the time over the fastest's, and rough: whether it is that of a hopeless cell, which was not timed.

    A hopeless cell's time is its first call's where it was called, else the prediction.
    """
    best = frame.groupby(KEY)["time"].transform("min")
    hopeless = (frame["status"] == "hopeless") & frame["time"].isna()
    rough = (frame["first_s"].fillna(frame["predicted_s"]) / best).where(hopeless)
    return frame.assign(ratio=frame["best_ratio"].fillna(rough), rough=rough.notna())


def _row(cells: pd.DataFrame) -> dict[str, object]:
    """The winner of one problem and its distances to the others; cells as from `with_ratios`."""
    timed = cells[cells["time"].notna()]
    own = timed[~timed["peer"]]
    if own.empty:
        return dict.fromkeys(TEXT, "") | {"peer_tied": False}
    first = own[own["own_tied"]]
    best = own[own["own_winner"]].iloc[0]
    slower = own[~own["algorithm"].isin(first["algorithm"])].sort_values("best_ratio")
    peers = timed[timed["peer"]].sort_values("best_ratio")
    relative = (cells.set_index("algorithm")["ratio"] / best["best_ratio"]).dropna().to_dict()
    row: dict[str, object] = {
        "winner": best["algorithm"],
        "tied_with": ", ".join(sorted(set(first["algorithm"]) - {best["algorithm"]})),
        "runner_up": slower["algorithm"].iloc[0] if len(slower) else "",
        "best_peer": peers["algorithm"].iloc[0] if len(peers) else "",
        "rough": ", ".join(name for name in BASELINES if name in set(cells.loc[cells["rough"], "algorithm"])),
        "peer_tied": len(peers) > 0 and bool(best["tied"]) and bool(peers["tied"].iloc[0]),
    }
    row["margin"] = relative.get(row["runner_up"], np.nan)
    row["over_peer"] = relative.get(row["best_peer"], np.nan)
    row |= {f"over_{name}": relative.get(name, np.nan) for name in BASELINES}
    return row | {name: best[name] for name in COPIED}


def winner_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per problem: who of ours won, in what time, tied with whom, and how far the others are behind.

    margin: time of the fastest that is not tied, over the winner's. over_<baseline>, over_peer: time of that one over
    the winner's, so above 1 the winner is faster: medians of ratios paired round by round, but for the baselines named
    in rough, which were hopeless.
    """
    problems = describe(frame)
    rows = [_row(cells) for _, cells in with_ratios(frame).groupby(KEY, sort=False)]
    return pd.concat([problems, pd.DataFrame(rows, columns=[*TEXT, *NUMBERS])], axis=1)


def spread(row: Any) -> str:
    """Half the 95% interval of a winner's time as a fraction of it; of few rounds half their range, and how many."""
    if row.rounds == 1:
        return "1 round"
    half = f"±{(row.time_high - row.time_low) / 2 / row.time:.1%}"
    return half if row.rounds >= LEAST else f"{half} in {row.rounds} rounds"


def winner_text(winners: pd.DataFrame) -> pd.DataFrame:
    """The winner table in words, for a terminal or Markdown: one string per cell."""
    rows = []
    for row in winners.itertuples(index=False):
        rough = row.rough.split(", ")
        rows.append(
            {
                "suite": row.suite,
                "problem": row.label,
                "winner": row.winner or "nothing was timed",
                "tied with": row.tied_with,
                "time": f"{seconds(row.time)} {spread(row)}" if row.winner else NOTHING,
                "next": ratio(row.margin),
                "im2col": ("≈" if "im2col" in rough else "") + ratio(row.over_im2col),
                "naive": ("≈" if "naive" in rough else "") + ratio(row.over_naive),
                "best peer": f"{ratio(row.over_peer)} {row.best_peer}".rstrip(),
                "of peak": percent(row.peak_fraction),
                "error": scientific(row.error),
            }
        )
    return pd.DataFrame(rows)


def algorithm_table(frame: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per algorithm: problems it ran on, wins, ties for first, distance to the fastest, error, costs in s."""
    tied = winners["tied_with"].str.split(", ").explode().value_counts()
    wins = winners["winner"].value_counts()
    rows = []
    for (algorithm, peer), cells in frame.groupby(["algorithm", "peer"], sort=False):
        timed = cells[cells["time"].notna()]
        row = {"algorithm": algorithm, "peer": peer, "ran": len(timed), "problems": len(cells)}
        row |= {"wins": wins.get(algorithm, 0), "ties": tied.get(algorithm, 0)}
        row |= {"behind": geometric_mean(timed["best_ratio"]), "error": timed["error"].max()}
        row |= {"error_over_bound": (timed["error"] / timed["bound"]).max()}
        row |= {cost: timed[cost].median() for cost in ("compile_s", "cache_load_s", "prepare_s", "first_s")}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["peer", "wins", "ran"], ascending=[True, False, False], ignore_index=True)


def class_table(frame: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per class of problems and algorithm that ran there: problems, ran, wins, behind (geometric mean), few.

    few: whether it was hopeless on more of them than it ran on, so that its mean stands for those it is fit for. The
    best peer of each problem stands as one algorithm called `best peer`.
    """
    cells = frame.merge(winners[[*KEY, "kind", "winner", "best_peer"]], on=KEY, suffixes=("_flag", ""))
    hopeless = cells[cells["status"] == "hopeless"].groupby(["kind", "algorithm"]).size().rename("hopeless")
    cells = cells[cells["time"].notna() & (~cells["peer"] | (cells["algorithm"] == cells["best_peer"]))]
    cells["won"] = cells["algorithm"] == cells["winner"]
    cells["algorithm"] = cells["algorithm"].where(~cells["peer"], "best peer")
    groups = cells.groupby(["kind", "algorithm"], sort=False)
    table = groups.agg(ran=("won", "size"), wins=("won", "sum"), behind=("best_ratio", geometric_mean)).reset_index()
    table = table.merge(winners.groupby("kind").size().rename("problems").reset_index(), on="kind")
    table["few"] = table.join(hopeless, on=["kind", "algorithm"])["hopeless"] > table["ran"]
    return table


def class_winners(winners: pd.DataFrame) -> pd.DataFrame:
    """One row per class of problems: who wins most, who else wins, how far the winners are ahead (as `SpeedUp`).

    margin: over the next that is not tied.
    """
    rows = []
    won = winners[winners["winner"] != ""]
    for kind in (kind for kind in CLASSES if kind in set(won["kind"])):
        cells = won[won["kind"] == kind]
        wins = [f"{name} {number}" for name, number in cells["winner"].value_counts().items()]
        row = {"kind": kind, "problems": len(cells), "first": wins[0], "others": ", ".join(wins[1:])}
        row["margin"] = mean_speed_up(cells["margin"], cells["margin"].isna())
        rows.append(row | {f"over_{name}": speed_up(cells, name) for name in ("im2col", "naive", "peer")})
    return pd.DataFrame(rows)


def reason_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per algorithm, status and reason, with the number of problems; reasons alike but for numbers are one."""
    silent = frame[frame["status"] != "ok"].copy()
    silent["pattern"] = [re.sub(r"\d[\d,.×e+-]*", "#", str(reason)) for reason in silent["reason"]]
    groups = silent.groupby(["algorithm", "status", "pattern"], sort=False)
    table = groups.agg(problems=("reason", "size"), reason=("reason", "first"), example=("spec", "first"))
    table = table.reset_index().drop(columns="pattern")
    rank = table["status"].map({status: i for i, status in enumerate(GRAVEST)}).fillna(len(GRAVEST))
    return table.iloc[np.lexsort([-table["problems"], rank])]
