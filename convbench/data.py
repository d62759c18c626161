"""Seeded operands for a problem; every array is returned read-only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convbench.spec import ConvSpec, SpecError, nearest

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def _integer(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """-3 … 3: every partial sum is exact in float32 up to 2²⁴ / 9 products."""
    return rng.integers(-3, 4, shape).astype(float)


def _scaled(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Magnitudes from 10⁻⁴ to 10⁴ within one array: cancelling and badly scaled sums."""
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-4, 4, shape)


def _relu(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """max(0, N(0, 1)): what a layer after a ReLU sees; its mean is not zero."""
    return np.maximum(rng.standard_normal(shape), 0)


def _rank1(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Filters that are outer products: one K × C/G matrix entry and one vector a spatial dimension."""
    weight = rng.standard_normal((shape[0], shape[1], *(1 for _ in shape[2:])))
    for axis in range(2, len(shape)):
        line = [n if i == axis else 1 for i, n in enumerate(shape)]
        weight = weight * rng.standard_normal([1, shape[1], *line[2:]])
    return weight


#: kind -> (draw of the input, draw of the weight)
KINDS: dict[str, tuple[Draw, Draw]] = {
    "normal": (_normal, _normal),
    "integer": (_integer, _integer),
    "scaled": (_scaled, _normal),
    "relu": (_relu, _normal),
    "rank1": (_normal, _rank1),
}


def arrays(spec: ConvSpec, seed: int = 0, kind: str = "normal") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(input, weight, bias) of ``spec``'s shapes and dtype, the same for the same seed and kind; no denormals.

    kind: one of :data:`KINDS`; SpecError otherwise. ``rank1`` filters are rank 1 over (R, S) for each (k, c) and
    over (K, R·S) for each c.
    """
    if kind not in KINDS:
        raise SpecError(f"unknown kind of data {kind!r}; {nearest(kind, KINDS)}")
    rng = np.random.default_rng(seed)
    draw_input, draw_weight = KINDS[kind]
    tiny = np.finfo(spec.np_dtype).tiny
    operands = []
    for draw, shape in ((draw_input, spec.input_shape), (draw_weight, spec.weight_shape), (draw_input, (spec.K,))):
        array = draw(rng, shape).astype(spec.np_dtype)
        array[np.abs(array) < tiny] = 0
        array.flags.writeable = False
        operands.append(array)
    return operands[0], operands[1], operands[2]
