"""Where chosen algorithms stand on every problem, won or not: for the author of one who has just measured it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from convbench.report.problems import KEY, describe
from convbench.report.tables import with_ratios
from convbench.units import NOTHING, ratio, seconds

__all__ = ["standing_text"]


def standing_text(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """One row per problem and named algorithm, in words: its rank among ours, its time, its distance to the winner.

    Those tied for first place share it. What has no time says why instead.
    """
    labels = describe(frame).set_index(KEY)["label"]
    rows = []
    for key, cells in with_ratios(frame[~frame["peer"]]).groupby(KEY, sort=False):
        timed = cells[cells["time"].notna()].sort_values(["own_tied", "best_ratio"], ascending=[False, True])
        for cell in cells[cells["algorithm"].isin(names)].itertuples(index=False):
            rows.append({"problem": labels[key], "algorithm": cell.algorithm, **_standing(cell, timed)})
    return pd.DataFrame(rows)


def _standing(cell: Any, timed: pd.DataFrame) -> dict[str, str]:
    """``timed``: the problem's timed cells of ours, those tied for the first place before the others by time."""
    if pd.isna(cell.time):
        hopeless = f" ({ratio(cell.ratio)} the winner's time)" if cell.rough else ""
        return {"rank": NOTHING, "time": NOTHING, "standing": f"{cell.status}{hopeless}: {cell.reason}"}
    place = 1 if cell.own_tied else list(timed["algorithm"]).index(cell.algorithm) + 1
    best = timed[timed["own_winner"]].iloc[0]
    behind = f"{ratio(cell.best_ratio / best['best_ratio'])} the time of {best['algorithm']}"
    standing = "winner" if cell.own_winner else f"{behind}, tied" if cell.own_tied else behind
    return {"rank": f"{place} of {len(timed)}", "time": seconds(cell.time), "standing": standing}
