"""Two runs or more, cell by cell: what became slower or faster, and how sure that is.

Ratios are times of a later run over those of the base. Where both hold the same rounds (two algorithms of one run, so
the probes' readings are the same numbers) they are paired. Else each cell has two ratios of medians, of seconds and of
seconds over the FMA probe beside each sample; a change counts only if both intervals show it, since a neighbour that
slowed one of the runs slowed its probe too. Intervals of all cells of a run hold together at 95%.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, gmean

from convbench.bench.environment import Facts
from convbench.bench.records import Problem, environment_of, problems
from convbench.bench.samples import RecordError
from convbench.bench.stats import (
    CONFIDENCE,
    LEAST,
    TIE_COST,
    Interval,
    is_tied,
    median_interval,
    paired_ratios,
    ratio_of_medians,
)

GUARDED = (
    *("machine", "cpu_model_name", "cpu_governor", "threads", "cache", "workspace_limit", "blas"),
    *("python_version", "numpy_version", "scipy_version", "numba_version", "llvmlite_version"),
)
"""Facts in which runs must agree, beside every environment variable that is recorded: all but our own code."""

COLUMNS = (
    *("suite", "spec", "weights", "problem_name", "algorithm", "peer", "verdict", "reason", "base_time", "time"),
    *("ratio", "ratio_low", "ratio_high", "probe_ratio", "paired", "base_rounds", "rounds"),
)
SUMMARY = ("of", "name", "peer", "cells", "slower", "faster", "broken", "verdict")
MEANS = ("ratio", "ratio_low", "ratio_high", "probe_ratio")
BROKEN = ("failed", "crashed", "timed out")
SEED = 0


@dataclass(frozen=True)
class Pair:
    """An algorithm of the base and one of a later run on one problem, which the later run may lack."""

    base: Problem
    later: Problem | None
    names: tuple[str, str]

    @property
    def known(self) -> bool:
        return self.later is not None and self.names[1] in self.later.facts

    @property
    def base_timed(self) -> bool:
        return self.names[0] in self.base.contenders()

    @property
    def timed(self) -> bool:
        return self.base_timed and self.later is not None and self.names[1] in self.later.contenders()

    def shared(self) -> list[float]:
        """Ratios of the rounds that both hold: there the probes' readings are the same numbers."""
        assert self.later is not None
        stream, (old, new) = self.base.probes["stream"], self.names
        rounds = {key for key, seconds in self.later.probes["stream"].items() if stream.get(key) == seconds}
        later = {key: seconds for key, seconds in self.later.samples[new].items() if key in rounds}
        return paired_ratios(later, self.base.samples[old])


def differences(base: str | Path, later: str | Path) -> list[str]:
    """The guarded facts in which two runs differ, each in words; empty if their times can be compared."""
    old, new = environment_of(base), environment_of(later)
    variables = sorted(name for name in {*old, *new} if name.startswith("env_"))
    return [
        f"{name} is {_told(old, name)} in the one, {_told(new, name)} in the other"
        for name in (*GUARDED, *variables)
        if old.get(name) != new.get(name)
    ]


def _told(facts: Facts, name: str) -> str:
    return repr(facts[name]) if name in facts else "not the same throughout or not recorded"


def compare(base: str | Path, later: str | Path, algorithms: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row per suite, problem and algorithm of the base; see ``COLUMNS``.

    algorithms: name in the base -> name in the later run; every one under its own name by default. ``verdict``: slower,
    faster, even, unclear (the probe beside the samples moved by more than ``TIE_COST``), broken (timed in the base;
    failed, crashed or timed out since), or not timed. RecordError if the runs have nothing in common.
    """
    new = {_key(problem): problem for problem in problems(later)}
    pairs = [
        Pair(problem, new.get(_key(problem)), names)
        for problem in problems(base)
        for names in (algorithms or {name: name for name in problem.facts}).items()
        if names[0] in problem.facts
    ]
    if not any(pair.known for pair in pairs):
        raise RecordError(f"{base} and {later} have no cell in common")
    timed = sum(pair.timed for pair in pairs)
    confidence = 1 - (1 - CONFIDENCE) / max(1, timed)
    rows = [row for pair in pairs for row in _rows(pair, confidence)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _key(problem: Problem) -> tuple[object, object]:
    return problem.shared["spec"], problem.shared["weights"]


def _rows(pair: Pair, confidence: float) -> Iterator[dict[str, object]]:
    old, new = pair.names
    spec, weights = _key(pair.base)
    row = {"spec": spec, "weights": weights, "algorithm": old if old == new else f"{old}:{new}"}
    row |= {"peer": bool(pair.base.facts[old].get("peer")), "paired": False}
    row |= _times(pair, confidence) if pair.timed else _silence(pair)
    for member in pair.base.members:
        yield row | {"suite": member["suite"], "problem_name": member["name"]}


def _silence(pair: Pair) -> dict[str, object]:
    """Why there is no ratio, and whether that is news."""
    if pair.later is None or not pair.known:
        return {"verdict": "not timed", "reason": "not in the later run"}
    facts = pair.later.facts[pair.names[1]] if pair.base_timed else pair.base.facts[pair.names[0]]
    reason = f"{facts['status']}: {facts.get('reason', '')}".removesuffix(": ")
    return {"verdict": "broken" if pair.base_timed and facts["status"] in BROKEN else "not timed", "reason": reason}


def _times(pair: Pair, confidence: float) -> dict[str, object]:
    assert pair.later is not None
    sides = list(zip((pair.later, pair.base), reversed(pair.names), strict=True))
    after, before = (list(problem.samples[name].values()) for problem, name in sides)
    if paired := pair.shared():
        ratios = [median_interval(paired, confidence)]
        rounds = len(paired)
    else:
        ratios = [ratio_of_medians(after, before, confidence)]
        after_probe, before_probe = (
            paired_ratios(problem.samples[name], problem.beside[name]) for problem, name in sides
        )
        ratios += [ratio_of_medians(after_probe, before_probe, confidence)] if after_probe and before_probe else []
        rounds = min(len(after), len(before))
    verdict, moved = _verdict(ratios, rounds, confidence), ratios[0].median / ratios[-1].median
    return {
        "verdict": verdict,
        "reason": f"the machine's own probe takes {moved:.2f}× as long" if verdict == "unclear" else "",
        "base_time": float(np.median(before)),
        "time": float(np.median(after)),
        "ratio": ratios[0].median,
        "ratio_low": ratios[0].low,
        "ratio_high": ratios[0].high,
        "probe_ratio": ratios[-1].median,
        "paired": bool(paired),
        "base_rounds": len(before),
        "rounds": len(after),
    }


def _verdict(ratios: Sequence[Interval], rounds: int, confidence: float) -> str:
    """What all the ratios say, of seconds first; unclear where they differ much, since the machine then did too."""
    turned = [Interval(1 / ratio.median, 1 / ratio.high, 1 / ratio.low, ratio.confidence) for ratio in ratios]
    for verdict, sided in (("slower", ratios), ("faster", turned)):
        if not any(is_tied(ratio, rounds, confidence) for ratio in sided):
            moved = ratios[0].median / ratios[-1].median
            return "unclear" if max(moved, 1 / moved) > 1 + TIE_COST else verdict
    return "even"


def summarised(frame: pd.DataFrame) -> pd.DataFrame:
    """Geometric means of the ratios by algorithm and, of our own algorithms, by suite; see ``SUMMARY``, ``MEANS``.

    The intervals are bootstrapped (BCa) over problems, of which it takes six; rivals tell how far the machine moved,
    as long as their versions are the same.
    """
    once = frame.drop_duplicates(["spec", "weights", "algorithm"])
    groups = [("algorithm", *group) for group in once.groupby("algorithm", sort=False)]
    groups += [("suite", *group) for group in frame[~frame["peer"]].groupby("suite", sort=False)]
    return pd.DataFrame([_summary(*group) for group in groups], columns=[*SUMMARY, *MEANS])


def _summary(of: str, name: str, cells: pd.DataFrame) -> dict[str, object]:
    timed = cells[cells["ratio"].notna()]
    counts = {verdict: int((cells["verdict"] == verdict).sum()) for verdict in ("slower", "faster", "broken")}
    means = [_mean(timed[column]) for column in ("ratio", "probe_ratio")]
    return {
        **{"of": of, "name": name, "peer": bool(cells["peer"].all()), "cells": len(timed)},
        **counts,
        "verdict": _verdict(means, len(timed), CONFIDENCE) if len(timed) >= LEAST else "too few",
        "ratio": means[0].median,
        "ratio_low": means[0].low,
        "ratio_high": means[0].high,
        "probe_ratio": means[1].median,
    }


def _mean(ratios: pd.Series) -> Interval:
    """The geometric mean, and its interval where there are enough problems."""
    nothing = float("nan")
    if len(ratios) < LEAST:
        return Interval(float(gmean(ratios)) if len(ratios) else nothing, nothing, nothing, 0.0)
    if np.ptp(ratios) == 0:
        return Interval(*[float(ratios.iloc[0])] * 3)
    interval = bootstrap((ratios,), gmean, method="BCa", rng=np.random.default_rng(SEED)).confidence_interval
    return Interval(float(gmean(ratios)), float(interval.low), float(interval.high))


def regressions(frame: pd.DataFrame, above: float) -> list[str]:
    """What of our own is broken, or slower by more than ``above``: cells, algorithms and suites, in words."""
    own, groups = frame[~frame["peer"]].drop_duplicates(["spec", "weights", "algorithm"]), summarised(frame)
    slow = own[(own["verdict"] == "slower") & (own["ratio"] > 1 + above)]
    means = groups[~groups["peer"] & (groups["verdict"] == "slower") & (groups["ratio"] > 1 + above)]
    said = [f"{row.algorithm} on {row.spec}: {row.reason}" for row in own[own["verdict"] == "broken"].itertuples()]
    said += [f"{row.algorithm} on {row.spec}: {row.ratio:.2f}×" for row in slow.itertuples()]
    return said + [f"{row.of} {row.name}: {row.ratio:.2f}× (geometric mean)" for row in means.itertuples(name="Row")]
