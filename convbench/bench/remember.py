"""From a run to the choices of ``fastest`` and ``conv1d/2d/3d`` on this machine.

Only problems on which every registered algorithm took part are remembered, so that a comparison of two does not hide
the others. Those with rank-1 weights are not: a call does not know the class of its weights. Nor are runs with cold
caches, since nobody can say what a call will find there.
"""

from __future__ import annotations

from pathlib import Path

from convbench import choices
from convbench.algorithm import algorithms
from convbench.bench.orders import HOT
from convbench.bench.records import Problem, problems
from convbench.bench.stats import TIE_COST, standings
from convbench.choices import Measured
from convbench.spec import ConvSpec


def measured(run: str | Path) -> dict[str, dict[str, Measured]]:
    """What a run found, as :func:`convbench.choices.record` takes it: problem key -> algorithm -> times and rank."""
    found = {}
    for problem in problems(run):
        if problem.shared.get("cache", HOT) != HOT:
            continue
        complete = set(algorithms()) <= set(str(problem.shared["contenders"]).split())
        if complete and problem.shared["weights"] == "dense" and (ranking := _ranked(problem)):
            key = choices.key(ConvSpec.parse(str(problem.shared["spec"])), int(problem.shared["threads"]))
            found[key] = ranking
    return found


def _ranked(problem: Problem) -> dict[str, Measured]:
    """Our algorithms, best first: by the order that breaks ties where breaking costs little, the others by ratio."""
    ties = problem.tie_break()
    result = standings(problem.contenders(peers=False), ties)

    def order(name: str) -> tuple[object, ...]:
        standing = result[name]
        even = standing.tied and standing.ratio.median <= 1 + TIE_COST
        return not standing.winner, not even, ties[name] if even else (standing.ratio.median,), name

    return {
        name: Measured(result[name].time.median, float(problem.facts[name].get("prepare_s", 0.0)), rank)
        for rank, name in enumerate(sorted(result, key=order))
    }
