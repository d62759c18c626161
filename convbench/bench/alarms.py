"""What the numbers of a run should not be trusted for, in sentences: read off its cells, silent about what is in order.

Pools that have other numbers of threads than asked for, times taken while the machine was slowed, kernels that do not
scale, and memory that nobody declared.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from convbench.bench.allocation import RESOLUTION
from convbench.bench.environment import Facts
from convbench.bench.gains import conclusive, gains, no_cores
from convbench.units import count, percent, size

MOSTLY = 0.5  # of a cell's samples
UNDECLARED = 0.1  # of what is declared and moved anyway


def alarms(cells: pd.DataFrame, environment: Facts) -> list[str]:
    """Sentences about a run: its cells as ``records.cells`` gives them, and the facts that all of them share."""
    once = cells.drop_duplicates(["spec", "weights", "algorithm"])
    own = once[~once["peer"]]
    return [*_pools(environment), *_slowed(once), *_serial(own), *_undeclared(own)]


def _pools(environment: Facts) -> Iterator[str]:
    asked = environment.get("threads")
    for name, found in sorted(environment.items()):
        if asked is not None and name.startswith("threads_") and found != asked:
            yield f"{count(int(asked), 'thread')} asked for, {name.removeprefix('threads_')} has {found}"


def _slowed(cells: pd.DataFrame) -> Iterator[str]:
    timed = cells[cells["slowed"].notna()]
    bad = int((timed["slowed"] > MOSTLY).sum())
    if bad:
        which = f"{bad} of {count(len(timed), 'timed cell')} ({percent(bad / len(timed))})"
        yield f"the machine was slowed during most samples of {which}: their times are too long, their ratios hold"


def _grouped(found: list[tuple[str, str, str]]) -> Iterator[str]:
    """(algorithm, spec, what) -> one sentence an algorithm, with the first of its problems."""
    frame = pd.DataFrame(found, columns=["algorithm", "spec", "what"])
    for name, rows in frame.groupby("algorithm"):
        first = rows.iloc[0]
        yield f"{name} on {count(len(rows), 'problem')}, first {first['spec']}: {first['what']}"


def _serial(own: pd.DataFrame) -> Iterator[str]:
    most = [(row, gains(str(row.scaling))[-1]) for row in own[own["scaling"] != ""].itertuples()]
    busy = [gain for _, gain in most if not gain.judged]
    if not conclusive([gain for _, gain in most]):
        whole = f"{no_cores(busy[0].threads)} while {len(busy)} of {count(len(most), 'cell')} were timed on"
        yield f"{whole} {busy[0].threads} threads: whether kernels scale cannot be said"
        return
    if busy:
        yield f"{no_cores(busy[0].threads)} to {len(busy)} of {count(len(most), 'cell')}: those are not judged"
    yield from _grouped([(row.algorithm, row.spec, gain.alarm) for row, gain in most if gain.alarm])


def _undeclared(own: pd.DataFrame) -> Iterator[str]:
    inside = own[["traced_bytes", "resident_bytes"]].max(axis=1) - own["library_bytes"].fillna(0)
    known = own["workspace_bytes"] + own["min_bytes"]
    rows = own[(inside > RESOLUTION) & (inside > UNDECLARED * known)]
    found = [
        (row.algorithm, row.spec, f"a call allocates {size(inside[row.Index])} that nobody declared")
        for row in rows.itertuples()
    ]
    return _grouped(found)
