"""From the samples of a run to one tidy row per problem and algorithm: all that reports and selection read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyperf import Benchmark

from convbench.bench.contamination import full_speed, slowed
from convbench.bench.environment import Facts
from convbench.bench.samples import RUN, load
from convbench.bench.stats import Standing, standings
from convbench.machine import write_atomic
from convbench.spec import ConvSpec

SAMPLES = "samples.json"
CELLS = "cells.csv"
RANKED = ("ok", "weak test")
"""Statuses whose samples count; a wrong, crashed or hopeless contender has no time."""

FACTS = (
    *("suite", "spec", "problem_name", "repeats", "weights", "algorithm", "status", "reason", "threads", "cache"),
    *("compile_s", "cache_load_s", "prepare_s", "first_s", "error", "bound", "relative_error", "workspace_bytes"),
    *("library_bytes", "traced_bytes", "resident_bytes", "cold_bytes"),
    *("phases", "phases_sum", "phases_slowdown", "scaling"),
    *("flop", "executed_flop", "min_bytes", "predicted_s", "peer", "repro"),
)
ANALYSIS = (
    *("time", "time_low", "time_high", "best_ratio", "ratio_low", "ratio_high", "tied", "winner", "rounds"),
    *("own_tied", "own_winner", "peak_fraction", "bandwidth_fraction", "ndim", "slowed"),
)
COLUMNS = (*FACTS, *ANALYSIS)
TEXT = (
    "suite",
    "spec",
    "problem_name",
    "weights",
    "algorithm",
    "status",
    "reason",
    "cache",
    "repro",
    "phases",
    "scaling",
)

FLAGS = ("tied", "winner", "own_tied", "own_winner", "peer")

Key = tuple[int, int]
"""(worker process, round)."""


@dataclass
class Problem:
    """What a samples file says of one problem: facts by algorithm, samples by (process, round)."""

    shared: Facts
    members: list[dict[str, Any]]
    facts: dict[str, Facts] = field(default_factory=dict)
    samples: dict[str, dict[Key, float]] = field(default_factory=dict)
    beside: dict[str, dict[Key, float]] = field(default_factory=dict)
    probes: dict[str, dict[Key, float]] = field(default_factory=dict)
    probe_facts: dict[str, Facts] = field(default_factory=dict)

    def contenders(self, *, peers: bool = True) -> dict[str, dict[Key, float]]:
        """Samples of every contender that may win."""
        return {
            name: rounds
            for name, rounds in self.samples.items()
            if self.facts[name]["status"] in RANKED and (peers or not self.facts[name].get("peer"))
        }

    @property
    def dtype(self) -> str:
        return ConvSpec.parse(str(self.shared["spec"])).dtype

    def speeds(self, name: str) -> list[float]:
        """flop/s of the FMA probe beside each sample of a contender."""
        work = float(self.probe_facts["fma"].get("probe_flop", 0.0))
        return [work / seconds for seconds in self.beside.get(name, {}).values()] if work else []

    def tie_break(self) -> dict[str, tuple[float, float]]:
        """(workspace, error) by algorithm; what is not known counts as worst."""
        worst = float("inf")
        return {
            name: (float(facts.get("workspace_bytes", worst)), float(facts.get("error", worst)))
            for name, facts in self.facts.items()
        }


def cells(run: str | Path) -> pd.DataFrame:
    """One row per (suite, problem, algorithm) of a run: a results directory or its samples file. See ``COLUMNS``.

    Numbers that do not exist (the time of what never ran, the intensity of an empty problem) are NaN. A problem that
    several suites hold was measured once and has its rows under each of them.
    """
    found = list(problems(run))
    full = _full_speeds(found)
    rows = [row for problem in found for row in _rows(problem, full)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in TEXT:
        frame[column] = frame[column].fillna("").astype(str)
    for column in FLAGS:
        frame[column] = frame[column].fillna(0).astype(bool)
    numbers = [column for column in COLUMNS if column not in (*TEXT, *FLAGS)]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame


def environment_of(run: str | Path) -> Facts:
    """The facts that all benchmarks of a run share: machine, versions, threads."""
    return _common([problem.shared for problem in problems(run)])


def write_csv(run: str | Path, frame: pd.DataFrame | None = None) -> Path:
    """Write ``cells.csv`` beside the run's samples: ``frame``, or what ``cells`` gives; returns its path."""
    path = _samples_path(run).with_name(CELLS)
    write_atomic(path, (cells(run) if frame is None else frame).to_csv(index=False, float_format="%.6g"))
    return path


def problems(run: str | Path) -> Iterator[Problem]:
    """Every problem of a run in the order it was measured. FileNotFoundError or ValueError names the file."""
    found: dict[str, list[Benchmark]] = {}
    for benchmark in load(_samples_path(run)):
        found.setdefault(benchmark.get_name().rpartition(" | ")[0], []).append(benchmark)
    return (_problem(group) for group in found.values())


def _samples_path(run: str | Path) -> Path:
    path = Path(run)
    if path.is_dir() and not (path / SAMPLES).exists():
        raise FileNotFoundError(f"{path} holds no {SAMPLES}; allowed: {RUN}")
    return path / SAMPLES if path.is_dir() else path


def _problem(group: list[Benchmark]) -> Problem:
    by_name = {benchmark.get_name().rpartition(" | ")[2]: benchmark for benchmark in group}
    head = by_name["probe:fma"].get_runs()[0].get_metadata()
    problem = Problem(shared=head, members=json.loads(head["members"]))
    for name, benchmark in by_name.items():
        facts = benchmark.get_runs()[0].get_metadata()
        if name.startswith("probe:"):
            probe = name.removeprefix("probe:")
            problem.probe_facts[probe] = facts
            problem.probes[probe] = _rounds(benchmark)
        else:
            problem.facts[name] = facts
            problem.samples[name] = _rounds(benchmark)
            problem.beside[name] = _rounds(benchmark, beside=True)
    for facts in json.loads(head["cells"]):
        problem.facts[facts["algorithm"]] = facts
    return problem


def _rounds(benchmark: Benchmark, beside: bool = False) -> dict[Key, float]:
    rounds: dict[Key, float] = {}
    for run in benchmark.get_runs():
        metadata = run.get_metadata()
        values = json.loads(metadata.get("fma_beside", "[]")) if beside else run.values
        rounds |= {(metadata["process"], i): float(value) for i, value in enumerate(values)}
    return rounds


def _full_speeds(found: Sequence[Problem]) -> dict[str, float]:
    """The probe's flop/s by element type when nothing slowed the machine."""
    rates: dict[str, list[float]] = {}
    for problem in found:
        rates.setdefault(problem.dtype, []).extend(rate for name in problem.beside for rate in problem.speeds(name))
    return {dtype: full_speed(readings) for dtype, readings in rates.items()}


def _rows(problem: Problem, full: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    ranking = standings(problem.contenders(), problem.tie_break())
    own = _own_standings(ranking, problem)
    for name, facts in sorted(problem.facts.items()):
        row = {column: facts.get(column, problem.shared.get(column)) for column in FACTS}
        row |= {"ndim": ConvSpec.parse(str(row["spec"])).ndim, "rounds": len(problem.samples.get(name, ()))}
        row["slowed"] = slowed(problem.speeds(name), full[problem.dtype])
        if name in ranking:
            row |= _analysis(ranking[name], problem, name)
        if name in own:
            row |= {"own_tied": own[name].tied, "own_winner": own[name].winner}
        for member in problem.members:
            yield row | {"suite": member["suite"], "problem_name": member["name"], "repeats": member["repeats"]}


def _own_standings(ranking: Mapping[str, Standing], problem: Problem) -> dict[str, Standing]:
    """The standings without the peers; those of ``ranking`` stay as they are while no peer is in the winner set."""
    own = {name: standing for name, standing in ranking.items() if not problem.facts[name].get("peer")}
    if not any(standing.tied for name, standing in ranking.items() if name not in own):
        return own
    return standings(problem.contenders(peers=False), problem.tie_break())


def _analysis(standing: Standing, problem: Problem, name: str) -> dict[str, Any]:
    return {
        "time": standing.time.median,
        "time_low": standing.time.low,
        "time_high": standing.time.high,
        "best_ratio": standing.ratio.median,
        "ratio_low": standing.ratio.low,
        "ratio_high": standing.ratio.high,
        "tied": standing.tied,
        "winner": standing.winner,
        "peak_fraction": _fraction(problem, name, "flop", "fma", problem.beside[name]),
        "bandwidth_fraction": _fraction(problem, name, "min_bytes", "stream", problem.probes["stream"]),
    }


def _fraction(problem: Problem, name: str, work: str, probe: str, probed: Mapping[Key, float]) -> float:
    """Work per second over the probe's, both of the same round: what part of the limit of that moment was reached."""
    unit = "flop" if probe == "fma" else "bytes"
    mine, its = problem.facts[name].get(work), problem.probe_facts[probe].get(f"probe_{unit}")
    ratios = [probed[key] / seconds for key, seconds in problem.samples[name].items() if key in probed]
    if not ratios or mine is None or its is None:
        return float("nan")
    return float(mine) / float(its) * float(np.median(ratios))


def _common(all_facts: list[Facts]) -> Facts:
    first = all_facts[0] if all_facts else {}
    return {name: value for name, value in first.items() if all(facts.get(name) == value for facts in all_facts)}
