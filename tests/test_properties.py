"""Laws that hold for every convolution, on drawn problems and without an oracle's answer.

Data are multiples of 1/64 below 8, so that sums and small multiples of them are exact in either dtype; tolerances are
the algorithm's own error bound times the size of the terms, √(x² ⋆ w²), for each convolution in the law.
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from convbench.algorithm import algorithms
from convbench.driver import Kernel, kernel
from convbench.reference import oracle
from convbench.spec import ConvSpec, SpecError

law = settings(max_examples=20, suppress_health_check=list(HealthCheck))
by_algorithm = pytest.mark.parametrize("name", algorithms())
seeds = st.integers(0, 2**32 - 1)


@st.composite
def any_specs(draw: st.DrawFn) -> ConvSpec:
    """Small problems of every kind, those that families specialise in among them."""
    style = draw(st.sampled_from(("dense", "depthwise", "grouped")))
    shape = draw(st.sampled_from(("any", "odd", "1")))
    ndim = draw(st.sampled_from((2, 1, 3)))
    plain = shape == "odd" or draw(st.booleans())
    groups = {"depthwise": draw(st.integers(1, 6)), "grouped": draw(st.integers(2, 3))}.get(style, 1)
    inputs = groups * (1 if style == "depthwise" else draw(st.integers(1, 5)))
    outputs = groups * draw(st.integers(1, 3 if groups > 1 else 20))
    sizes = {"odd": st.just(draw(st.sampled_from((3, 3, 5, 7)))), "1": st.just(1)}.get(shape, st.integers(1, 5))
    filter = draw(st.tuples(*[sizes] * ndim))
    stride, dilation = (1 if plain else draw(st.tuples(*[st.integers(1, 3)] * ndim)) for _ in range(2))
    padding = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in filter]
    spatial = draw(st.tuples(*[st.integers(1, (40, 14, 7)[ndim - 1])] * ndim))
    dtype = draw(st.sampled_from(("float32", "float64")))
    try:
        return ConvSpec(
            (draw(st.integers(1, 3)), inputs, *spatial),
            (outputs, inputs // groups, *filter),
            stride, padding, dilation, groups, dtype,
        )  # fmt: skip
    except SpecError:
        assume(False)
        raise


def specs(name: str) -> st.SearchStrategy[ConvSpec]:
    return any_specs().filter(lambda spec: algorithms()[name].supports(spec) is None)


def drawn(seed: int, *shapes: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(np.clip(np.rint(rng.standard_normal(shape) * 64), -511, 511) / 64).astype(dtype) for shape in shapes]


def room(solve: Kernel, x: np.ndarray, w: np.ndarray) -> float:
    """Largest error that ``solve`` promises for these operands."""
    squares = oracle(x.astype(np.float64) ** 2, w.astype(np.float64) ** 2, None, solve.spec)
    return solve.error_bound * float(np.sqrt(squares.max()))


def assert_close(got: np.ndarray, want: np.ndarray, tolerance: float, spec: ConvSpec) -> None:
    gap = float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max(initial=0))
    assert gap <= tolerance, f"{spec}: {gap:.3g} apart, {tolerance:.3g} allowed"


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_linear_in_the_input(name: str, data: st.DataObject, seed: int) -> None:
    spec = data.draw(specs(name))
    solve = kernel(spec, name, threads=1)
    x1, x2, w = drawn(seed, spec.input_shape, spec.input_shape, spec.weight_shape, dtype=spec.dtype)
    both = 2 * x1 - x2
    tolerance = room(solve, both, w) + 2 * room(solve, x1, w) + room(solve, x2, w)
    want = 2.0 * solve(x1, w).astype(np.float64) - solve(x2, w)
    assert_close(solve(both, w), want, tolerance, spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_linear_in_the_filter(name: str, data: st.DataObject, seed: int) -> None:
    spec = data.draw(specs(name))
    solve = kernel(spec, name, threads=1)
    x, w1, w2 = drawn(seed, spec.input_shape, spec.weight_shape, spec.weight_shape, dtype=spec.dtype)
    both = 2 * w1 - w2
    tolerance = room(solve, x, both) + 2 * room(solve, x, w1) + room(solve, x, w2)
    want = 2.0 * solve(x, w1).astype(np.float64) - solve(x, w2)
    assert_close(solve(x, both), want, tolerance, spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_bias_is_added_to_its_channel(name: str, data: st.DataObject, seed: int) -> None:
    spec = data.draw(specs(name))
    solve = kernel(spec, name, threads=1)
    x, w, bias = drawn(seed, spec.input_shape, spec.weight_shape, (spec.K,), dtype=spec.dtype)
    want = solve(x, w) + bias.reshape(-1, *(1 for _ in spec.filter))
    rounding = np.finfo(spec.dtype).eps * float(np.abs(want).max())
    assert_close(solve(x, w, bias), want, 2 * room(solve, x, w) + 2 * rounding, spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_an_impulse_returns_the_turned_filter(name: str, data: st.DataObject, seed: int) -> None:
    """x = 1 at one pixel: output p holds the tap r with p·stride + r·dilation − padding at that pixel."""
    spec = data.draw(specs(name))
    pixel = tuple(data.draw(st.integers(0, size - 1)) for size in spec.input_shape)
    solve = kernel(spec, name, threads=1)
    (w,) = drawn(seed, spec.weight_shape, dtype=spec.dtype)
    x = np.zeros(spec.input_shape, spec.dtype)
    x[pixel] = 1
    want = np.zeros(spec.output_shape, spec.dtype)
    group, channel = divmod(pixel[1], spec.C // spec.groups)
    outputs = slice(group * spec.K // spec.groups, (group + 1) * spec.K // spec.groups)
    for tap in product(*map(range, spec.filter)):
        places = [
            divmod(i + before - r * d, s)
            for i, (before, _), r, d, s in zip(
                pixel[2:], spec.padding, tap, spec.dilation, spec.stride, strict=True
            )
        ]  # fmt: skip
        if all(not rest and 0 <= p < size for (p, rest), size in zip(places, spec.output_spatial, strict=True)):
            want[(pixel[0], outputs, *(p for p, _ in places))] = w[(outputs, channel, *tap)]
    got = solve(x, w)
    if algorithms()[name].exact:
        assert np.array_equal(got, want), str(spec)
    else:
        assert_close(got, want, room(solve, np.ones_like(x), w), spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_moving_the_input_by_a_stride_moves_the_output_by_one(name: str, data: st.DataObject, seed: int) -> None:
    spec = data.draw(specs(name))
    axis = data.draw(st.integers(0, spec.ndim - 1))
    step, size = spec.stride[axis], spec.spatial[axis]
    assume(size > step)
    solve = kernel(spec, name, threads=1)
    x, w = drawn(seed, spec.input_shape, spec.weight_shape, dtype=spec.dtype)
    lines = np.moveaxis(x, 2 + axis, 0)
    lines[size - step :] = 0  # so that nothing falls off the edge
    moved = np.moveaxis(np.concatenate([lines[size - step :], lines[: size - step]]), 0, 2 + axis)
    y, after = (np.moveaxis(solve(image, w), 2 + axis, 0) for image in (x, moved))
    assert_close(after[1:], y[:-1], 2 * max(room(solve, x, w), room(solve, moved, w)), spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_the_order_of_channels_does_not_matter(name: str, data: st.DataObject, seed: int) -> None:
    """Input channels of each group permuted in x and w leave y; output channels of each permute it."""
    spec = data.draw(specs(name))
    solve = kernel(spec, name, threads=1)
    x, w = drawn(seed, spec.input_shape, spec.weight_shape, dtype=spec.dtype)
    rng = np.random.default_rng(seed)
    inputs, outputs = (rng.permutation(n // spec.groups) for n in (spec.C, spec.K))
    every_input, every_output = (
        (np.arange(spec.groups)[:, None] * len(order) + order).ravel() for order in (inputs, outputs)
    )
    got = solve(x[:, every_input], w[every_output][:, inputs])
    assert_close(got, solve(x, w)[:, every_output], 2 * room(solve, x, w), spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_images_of_a_batch_are_independent(name: str, data: st.DataObject, seed: int) -> None:
    spec = data.draw(specs(name))
    solve = kernel(spec, name, threads=1)
    alone = kernel(spec.replace(input_shape=(1, *spec.input_shape[1:])), name, threads=1)
    x, w = drawn(seed, spec.input_shape, spec.weight_shape, dtype=spec.dtype)
    want = np.concatenate([alone(x[n : n + 1], w) for n in range(spec.N)])
    assert_close(solve(x, w), want, room(solve, x, w) + alone.error_bound / solve.error_bound * room(solve, x, w), spec)


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_groups_are_independent_problems(name: str, data: st.DataObject, seed: int) -> None:
    spec = data.draw(specs(name).filter(lambda spec: spec.groups > 1))
    inputs, outputs = spec.C // spec.groups, spec.K // spec.groups
    part = spec.replace(
        input_shape=(spec.N, inputs, *spec.spatial), weight_shape=(outputs, *spec.weight_shape[1:]), groups=1
    )
    assume(algorithms()[name].supports(part) is None)
    solve, alone = kernel(spec, name, threads=1), kernel(part, name, threads=1)
    x, w = drawn(seed, spec.input_shape, spec.weight_shape, dtype=spec.dtype)
    xs, ws = np.split(x, spec.groups, axis=1), np.split(w, spec.groups)
    want = np.concatenate([alone(x, w) for x, w in zip(xs, ws, strict=True)], axis=1)
    tolerance = room(solve, x, w) + max(room(alone, x, w) for x, w in zip(xs, ws, strict=True))
    assert_close(solve(x, w), want, tolerance, spec)


def adjoint(spec: ConvSpec) -> ConvSpec:
    """The convolution that takes an output gradient, stride − 1 zeros between its pixels, to an input gradient."""
    spread = [(p - 1) * s + 1 for p, s in zip(spec.output_spatial, spec.stride, strict=True)]
    padding = [
        (k - 1 - before, i + before - size)
        for k, (before, _), i, size in zip(spec.effective_filter, spec.padding, spec.spatial, spread, strict=True)
    ]
    return ConvSpec(
        (spec.N, spec.K, *spread),
        (spec.C, spec.K // spec.groups, *spec.filter),
        1, padding, spec.dilation, spec.groups, spec.dtype,
    )  # fmt: skip


def turned(w: np.ndarray, groups: int) -> np.ndarray:
    """(K, C/G, R, S) -> (C, K/G, R, S), each filter turned round."""
    split = w.reshape(groups, len(w) // groups, *w.shape[1:]).swapaxes(1, 2)
    return np.flip(split.reshape(-1, *split.shape[2:]), tuple(range(2, w.ndim)))


@by_algorithm
@given(data=st.data(), seed=seeds)
@law
def test_adjoint(name: str, data: st.DataObject, seed: int) -> None:
    """⟨conv(x), y⟩ = ⟨x, convᵀ(y)⟩ with convᵀ by the same algorithm where it can, else by the definition."""
    spec = data.draw(specs(name))
    try:
        back = adjoint(spec)
    except SpecError:
        assume(False)
    solve = kernel(spec, name, threads=1)
    x, w, y = drawn(seed, spec.input_shape, spec.weight_shape, spec.output_shape, dtype=spec.dtype)
    spread = np.zeros(back.input_shape, spec.dtype)
    spread[(..., *(slice(None, None, s) for s in spec.stride))] = y
    turned_w = np.ascontiguousarray(turned(w, spec.groups))
    tolerance = room(solve, x, w) * float(np.abs(y, dtype=np.float64).sum())
    if algorithms()[name].supports(back) is None:
        transposed = kernel(back, name, threads=1)
        gradient = transposed(spread, turned_w)
        tolerance += room(transposed, spread, turned_w) * float(np.abs(x, dtype=np.float64).sum())
    else:
        gradient = oracle(spread, turned_w, None, back)
    left = np.vdot(solve(x, w).astype(np.float64), y.astype(np.float64))
    right = np.vdot(x.astype(np.float64), gradient.astype(np.float64))
    rounding = 2.0**-52 * prod(x.shape) * prod(y.shape)
    assert abs(left - right) <= tolerance + rounding, f"{spec}: {left} and {right}, {tolerance:.3g} allowed"
