"""The definition compiled: the loops of ``python_loops.py`` under Numba, the same function object.

Any rank (lifted to 3-D), stride, dilation, padding and groups; one compiled form a dtype. Memory: none. Error: the
direct sum's (``algorithm.direct_error``).
"""

from __future__ import annotations

from typing import Any

from convbench.algorithm import Algorithm
from convbench.algorithms import python_loops
from convbench.kernels.jit import njit
from convbench.machine import Machine
from convbench.spec import ConvSpec

EFFICIENCY = 0.012  # of peak: nothing is blocked, sums wait for each other

convolve = njit(python_loops.convolve)


def run(plan: ConvSpec, x: Any, state: python_loops.State, bias: Any, y: Any, work: Any) -> None:
    convolve(*python_loops.arguments(plan, x, state, bias, y))


def cost(plan: ConvSpec, machine: Machine) -> float:
    return machine.call_overhead + machine.flop_time(plan.flop, plan, 1, EFFICIENCY)


naive = Algorithm(
    name="naive",
    run=run,
    prepare=python_loops.prepare,
    cost=cost,
    claim="the definition's loops under Numba, nothing blocked or reordered",
)
