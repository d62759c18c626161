"""numpy.convolve: one dimension, one channel, a dot product for every output."""

from __future__ import annotations

import numpy as np

from convbench.algorithm import direct_error
from convbench.machine import Machine
from convbench.peers import add_bias, peer
from convbench.peers.scipy_signal import centred, turn_round
from convbench.spec import ConvSpec

SECONDS_PER_MAC = 1.5e-10
SECONDS_PER_OUTPUT = 1.5e-8


def supports(spec: ConvSpec) -> str | None:
    if spec.ndim != 1 or spec.input_shape[:2] != (1, 1) or spec.K != 1:
        return "numpy.convolve takes one channel of one dimension"
    if spec.stride != (1,) or spec.dilation != (1,):
        return "numpy.convolve has neither stride nor dilation"
    if not centred(spec) and any(spec.padding[0]):
        return "numpy.convolve pads by half of the filter or not at all"
    return None


def call(spec: ConvSpec, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    y = np.convolve(x[0, 0], weight[0, 0], "same" if centred(spec) else "valid")
    return add_bias(y.reshape(spec.output_shape), bias)


def cost(spec: ConvSpec, machine: Machine) -> float:
    return machine.call_overhead + spec.macs * SECONDS_PER_MAC + spec.output_spatial[0] * SECONDS_PER_OUTPUT


numpy_convolve = peer(
    "numpy_convolve",
    call,
    supports=supports,
    prepare=turn_round,
    cost=cost,
    error=direct_error,
    local=True,
    claim="numpy.convolve",
)
