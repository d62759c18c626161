"""scipy.ndimage.correlate with zeros beyond the edge: the image programmer's call, one channel a time."""

from __future__ import annotations

import numpy as np

from convbench.algorithm import direct_error
from convbench.machine import Machine
from convbench.peers import add_bias, peer
from convbench.peers.scipy_signal import MOST_CALLS, centred
from convbench.spec import ConvSpec

SECONDS_PER_MAC = 1.8e-9


def supports(spec: ConvSpec) -> str | None:
    if spec.weight_shape[1] != 1 or spec.N * spec.K > MOST_CALLS:
        return f"scipy.ndimage filters one channel a call; it is looped over up to {MOST_CALLS}, and sums none"
    if max(spec.stride) > 1 or max(spec.dilation) > 1 or not centred(spec):
        return "scipy.ndimage gives an output of the input's size"
    return None


def call(spec: ConvSpec, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    from scipy import ndimage

    share = spec.K // spec.groups
    y = np.empty(spec.output_shape, spec.np_dtype)
    for n, image in enumerate(x):
        for k in range(spec.K):
            ndimage.correlate(image[k // share], weight[k, 0], output=y[n, k], mode="constant")
    return add_bias(y, bias)


def cost(spec: ConvSpec, machine: Machine) -> float:
    return machine.call_overhead + spec.macs * SECONDS_PER_MAC


scipy_ndimage = peer(
    "scipy_ndimage",
    call,
    supports=supports,
    cost=cost,
    error=direct_error,
    local=True,
    claim="scipy.ndimage.correlate(mode='constant'), one call a channel",
)
