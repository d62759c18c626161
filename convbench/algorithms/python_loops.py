"""The definition as plain Python loops over NumPy arrays: what compiled kernels are measured against.

    y[n, k, o, p, q] = b[k] + Σ_{t,r,s,c} w[k, c, t, r, s] · x[n, g·C/G + c, i_d, i_h, i_w]        g = ⌊k·G/K⌋
    i_d = o·stride + t·dilation − padding, and so on; pixels outside the image are zero and are skipped

Any rank (lifted to 3-D), stride, dilation, padding and groups. Memory: none. Error: the direct sum's
(``algorithm.direct_error``). Problems of more than 10⁶ multiply-adds are refused: they take from seconds to hours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

LIMIT = 10**6  # multiply-adds
SECONDS_PER_MAC = 5e-7  # CPython with NumPy scalars; an order of magnitude suffices, as nothing is slower


class State(NamedTuple):
    weight: np.ndarray
    no_bias: np.ndarray  # zeros (K,)


def supports(spec: ConvSpec) -> str | None:
    if spec.macs > LIMIT:
        return f"plain Python loops take at most 10**6 multiply-adds, this problem has {spec.macs}"
    return None


def prepare(plan: ConvSpec, weight: np.ndarray) -> State:
    return State(weight.reshape(lift(plan, 3).weight_shape), np.zeros(plan.K, weight.dtype))


def convolve(x, w, bias, y, stride, dilation, before):
    """x (N, C, D, H, W), w (K, C/G, T, R, S), bias (K,) -> every element of y (N, K, O, P, Q)."""
    N, C, D, H, W = x.shape
    K, channels, T, R, S = w.shape
    _, _, O, P, Q = y.shape
    per_group = K * channels // C
    for n in range(N):
        for k in range(K):
            first = k // per_group * channels
            for o in range(O):
                for p in range(P):
                    for q in range(Q):
                        total = bias[k]
                        for t in range(T):
                            d = o * stride[0] + t * dilation[0] - before[0]
                            if d < 0 or d >= D:
                                continue
                            for r in range(R):
                                h = p * stride[1] + r * dilation[1] - before[1]
                                if h < 0 or h >= H:
                                    continue
                                for s in range(S):
                                    i = q * stride[2] + s * dilation[2] - before[2]
                                    if i < 0 or i >= W:
                                        continue
                                    for c in range(channels):
                                        total += w[k, c, t, r, s] * x[n, first + c, d, h, i]
                        y[n, k, o, p, q] = total


def arguments(plan: ConvSpec, x: Any, state: State, bias: Any, y: Any) -> tuple[Any, ...]:
    """What ``convolve`` takes: the problem lifted to three spatial dimensions."""
    spec = lift(plan, 3)
    before = tuple(before for before, _ in spec.padding)
    bias = state.no_bias if bias is None else bias
    return (
        x.reshape(spec.input_shape), state.weight, bias, y.reshape(spec.output_shape), spec.stride, spec.dilation,
        before,
    )  # fmt: skip


def run(plan: ConvSpec, x: Any, state: State, bias: Any, y: Any, work: Any) -> None:
    with np.errstate(over="ignore", invalid="ignore"):  # as compiled code does
        convolve(*arguments(plan, x, state, bias, y))


def cost(plan: ConvSpec, machine: Machine) -> float:
    return plan.macs * SECONDS_PER_MAC


python_loops = Algorithm(
    name="python_loops",
    run=run,
    supports=supports,
    prepare=prepare,
    cost=cost,
    claim="the definition as plain Python loops: what Numba is measured against",
)
