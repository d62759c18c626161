"""scipy.signal: ``oaconvolve`` (FFTs of overlapping blocks), ``convolve`` (its own choice of method), ``correlate2d``.

These know one channel: y[n, k] = Σ_c x[n, c] ⋆ w[k, c] is a loop of calls, which is what their users write. A call
pads as users do: ``mode="same"`` where the padding is centred, else ``mode="valid"`` on an image padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from math import log2, prod
from operator import add
from typing import Any

import numpy as np

from convbench.machine import Machine
from convbench.peers import add_bias, peer
from convbench.spec import ConvSpec

MOST_CALLS = 64
TRANSFORMS = 5  # two forward, one inverse, products and copies, in units of one real transform
SECONDS_PER_CALL = 3e-4
SECONDS_PER_MAC = 3.6e-9  # correlate2d's inner loop


def supports(spec: ConvSpec) -> str | None:
    calls = spec.N * spec.K * spec.weight_shape[1]
    if calls > MOST_CALLS:
        return f"scipy.signal convolves one channel a call; this problem needs {calls} calls, the limit is {MOST_CALLS}"
    if max(spec.stride) > 1 or max(spec.dilation) > 1:
        return "scipy.signal has neither stride nor dilation"
    return None


def supports_2d(spec: ConvSpec) -> str | None:
    return supports(spec) if spec.ndim == 2 else "correlate2d takes two dimensions"


def centred(spec: ConvSpec) -> bool:
    """Whether the padding is what ``mode="same"`` does: odd filters no larger than the image, half on each side."""
    sides = zip(spec.filter, spec.spatial, spec.padding, strict=True)
    return all(f % 2 and f <= size and pair == (f // 2, f // 2) for f, size, pair in sides)


def each_channel(
    correlate: Callable[..., np.ndarray], spec: ConvSpec, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None
) -> np.ndarray:
    """``correlate(image, filter, mode=…)`` summed over the input channels of every output channel."""
    mode = "same" if centred(spec) else "valid"
    if mode == "valid" and any(map(any, spec.padding)):
        x = np.pad(x, [(0, 0), (0, 0), *spec.padding])
    planes = []
    for image in x:
        for k, filters in enumerate(weight):
            first = k // (spec.K // spec.groups) * len(filters)
            planes.append(reduce(add, (correlate(image[first + c], f, mode=mode) for c, f in enumerate(filters))))
    y = planes[0] if len(planes) == 1 else np.stack(planes)
    return add_bias(y.reshape(spec.output_shape), bias)


def flipped(convolve: str) -> Callable[..., np.ndarray]:
    """scipy.signal's function of that name, given the filters that ``prepare`` turned round."""

    def correlate(image: np.ndarray, filter: np.ndarray, mode: str) -> np.ndarray:
        from scipy import signal

        return getattr(signal, convolve)(image, filter, mode=mode)

    return correlate


def correlate2d(image: np.ndarray, filter: np.ndarray, mode: str) -> np.ndarray:
    from scipy import signal

    return signal.correlate2d(image, filter, mode=mode)


def turn_round(spec: ConvSpec, weight: np.ndarray) -> np.ndarray:
    return np.flip(weight, axis=tuple(range(2, weight.ndim)))


def transform_cost(spec: ConvSpec, machine: Machine) -> float:
    calls, n = spec.N * spec.K * spec.weight_shape[1], prod(spec.spatial)
    flop = calls * TRANSFORMS * 2.5 * n * log2(max(2, n))
    return calls * SECONDS_PER_CALL + machine.fft_time(flop, spec)


def direct_cost(spec: ConvSpec, machine: Machine) -> float:
    return machine.call_overhead + spec.macs * SECONDS_PER_MAC


common: dict[str, Any] = {"supports": supports, "cost": transform_cost}
scipy_oaconvolve = peer(
    "scipy_oaconvolve",
    partial(each_channel, flipped("oaconvolve")),
    prepare=turn_round,
    claim="scipy.signal.oaconvolve, one call a channel",
    **common,
)
scipy_convolve = peer(
    "scipy_convolve",
    partial(each_channel, flipped("convolve")),
    prepare=turn_round,
    claim="scipy.signal.convolve(method='auto'), one call a channel",
    **common,
)
scipy_correlate2d = peer(
    "scipy_correlate2d",
    partial(each_channel, correlate2d),
    supports=supports_2d,
    cost=direct_cost,
    claim="scipy.signal.correlate2d, one call a channel",
)
