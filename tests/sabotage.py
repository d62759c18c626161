"""A correct algorithm and sabotaged copies of it: each holds one mistake that a convolution kernel may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from convbench.algorithm import Algorithm
from convbench.spec import ConvSpec

Run = Callable[..., None]


def padded_shape(spec: ConvSpec) -> tuple[int, ...]:
    return (*spec.input_shape[:2], *(i + b + a for i, (b, a) in zip(spec.spatial, spec.padding, strict=True)))


def workspace(spec: ConvSpec) -> int:
    return prod(padded_shape(spec)) * spec.itemsize


def pad(spec: ConvSpec, x: Any, work: Any, clear: bool = True) -> Any:
    """x in the middle of zeros, in ``work``."""
    image = work.view(spec.dtype).reshape(padded_shape(spec))
    if clear:
        image[...] = 0
    inside = tuple(slice(before, before + size) for size, (before, _) in zip(spec.spatial, spec.padding, strict=True))
    image[(..., *inside)] = x
    return image


def correlate(spec: ConvSpec, image: Any, w: Any, bias: Any, y: Any, first: int = 0, lost: int | None = None) -> None:
    """y = the sum over taps of shifted images; taps before ``first`` and the one at ``lost`` are left out."""
    y[...] = 0
    inputs, outputs = spec.C // spec.groups, spec.K // spec.groups
    for number, tap in enumerate(product(*map(range, spec.filter))):
        if number < first or number == lost:
            continue
        at = tuple(
            slice(r * d, r * d + (p - 1) * s + 1, s)
            for r, d, p, s in zip(tap, spec.dilation, spec.output_spatial, spec.stride, strict=True)
        )
        for g in range(spec.groups):
            chosen, channels = slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)
            pixels = image[(slice(None), channels, *at)]
            y[:, chosen] += np.einsum("kc,nc...->nk...", w[(chosen, slice(None), *tap)], pixels)
    if bias is not None:
        y += bias.reshape(-1, *(1 for _ in spec.filter))


def run(spec: ConvSpec, x: Any, w: Any, bias: Any, y: Any, work: Any) -> None:
    correlate(spec, pad(spec, x, work), w, bias, y)


HONEST = Algorithm(
    name="honest",
    run=run,
    plan=lambda spec, threads, workspace_limit: spec,
    prepare=lambda spec, weight: weight.copy(),
    workspace=workspace,
)
SABOTAGE: dict[str, Algorithm] = {}


def sabotage(function: Run) -> Run:
    """Enter ``function`` as an algorithm's run."""
    SABOTAGE[function.__name__] = replace(HONEST, name=function.__name__, run=function)
    return function


@sabotage
def first_tap_lost(spec, x, w, bias, y, work):
    correlate(spec, pad(spec, x, work), w, bias, y, first=1)


@sabotage
def middle_tap_lost(spec, x, w, bias, y, work):
    correlate(spec, pad(spec, x, work), w, bias, y, lost=prod(spec.filter) // 2)


@sabotage
def last_tap_lost_at_one_output(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    whole = y.copy()
    correlate(spec, pad(spec, x, work), w, bias, y, lost=prod(spec.filter) - 1)
    one = y.flat[y.size // 2]
    y[...] = whole
    y.flat[y.size // 2] = one


@sabotage
def filter_axes_swapped(spec, x, w, bias, y, work):
    run(spec, x, w.swapaxes(-1, -2), bias, y, work)


@sabotage
def filter_flipped(spec, x, w, bias, y, work):
    run(spec, x, np.flip(w, tuple(range(2, w.ndim))), bias, y, work)


@sabotage
def filter_flipped_along_one_axis(spec, x, w, bias, y, work):
    run(spec, x, w[..., ::-1], bias, y, work)


@sabotage
def image_axes_swapped(spec, x, w, bias, y, work):
    run(spec, x.swapaxes(-1, -2).reshape(x.shape), w, bias, y, work)


@sabotage
def padding_holds_the_edge_pixels(spec, x, w, bias, y, work):
    correlate(spec, np.pad(x, [(0, 0), (0, 0), *spec.padding], mode="edge"), w, bias, y)


@sabotage
def padding_wraps_around(spec, x, w, bias, y, work):
    correlate(spec, np.pad(x, [(0, 0), (0, 0), *spec.padding], mode="wrap"), w, bias, y)


@sabotage
def padding_sides_swapped(spec, x, w, bias, y, work):
    turned = spec.replace(padding=[(after, before) for before, after in spec.padding])
    run(turned, x, w, bias, y, work)


@sabotage
def workspace_read_before_it_is_written(spec, x, w, bias, y, work):
    correlate(spec, pad(spec, x, work, clear=False), w, bias, y)


@sabotage
def output_added_to_what_was_there(spec, x, w, bias, y, work):
    stale = y.copy()
    run(spec, x, w, bias, y, work)
    y += stale


@sabotage
def one_output_not_written(spec, x, w, bias, y, work):
    stale = y.copy()
    run(spec, x, w, bias, y, work)
    y.flat[y.size // 3] = stale.flat[y.size // 3]


@sabotage
def last_row_not_written(spec, x, w, bias, y, work):
    stale = y.copy()
    run(spec, x, w, bias, y, work)
    y[..., -1, :] = stale[..., -1, :]


@sabotage
def last_row_repeated(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    y[..., -1, :] = y[..., -2, :]


@sabotage
def last_column_zero(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    y[..., -1] = 0


@sabotage
def half_of_the_image_zero(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    y[..., y.shape[-1] // 2 :] = 0


@sabotage
def rows_shifted(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    y[...] = np.roll(y, 1, -2)


@sabotage
def last_input_channel_lost(spec, x, w, bias, y, work):
    shorter = w.copy()
    shorter[:, -1] = 0
    run(spec, x, shorter, bias, y, work)


@sabotage
def last_output_channel_not_written(spec, x, w, bias, y, work):
    stale = y.copy()
    run(spec, x, w, bias, y, work)
    y[:, -1] = stale[:, -1]


@sabotage
def output_channels_rotated(spec, x, w, bias, y, work):
    run(spec, x, np.roll(w, 1, 0), bias if bias is None else np.roll(bias, 1), y, work)


@sabotage
def next_group_read(spec, x, w, bias, y, work):
    run(spec, np.roll(x, spec.C // spec.groups, 1), w, bias, y, work)


@sabotage
def first_image_for_all(spec, x, w, bias, y, work):
    run(spec, np.broadcast_to(x[:1], x.shape), w, bias, y, work)


@sabotage
def bias_dropped(spec, x, w, bias, y, work):
    run(spec, x, w, None, y, work)


@sabotage
def something_added_without_a_bias(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    y += bias is None


@sabotage
def bias_added_twice(spec, x, w, bias, y, work):
    run(spec, x, w, bias if bias is None else 2 * bias, y, work)


@sabotage
def bias_of_another_channel(spec, x, w, bias, y, work):
    run(spec, x, w, bias if bias is None else bias[::-1], y, work)


def wider(spec: ConvSpec, **changes: Any) -> ConvSpec:
    """The spec with other strides or dilations, padded so that it has at least as many outputs."""
    return spec.replace(padding=[(before, after + 40) for before, after in spec.padding], **changes)


def run_another(spec: ConvSpec, other: ConvSpec, x: Any, w: Any, bias: Any, y: Any) -> None:
    whole = np.empty(other.output_shape, y.dtype)
    run(other, x, w, bias, whole, np.empty(workspace(other), np.uint8))
    y[...] = whole[tuple(map(slice, y.shape))]


@sabotage
def stride_off_by_one(spec, x, w, bias, y, work):
    run_another(spec, wider(spec, stride=(spec.stride[0] + 1, *spec.stride[1:])), x, w, bias, y)


@sabotage
def strides_swapped(spec, x, w, bias, y, work):
    run_another(spec, wider(spec, stride=spec.stride[::-1]), x, w, bias, y)


@sabotage
def dilation_ignored(spec, x, w, bias, y, work):
    run_another(spec, wider(spec, dilation=1), x, w, bias, y)


@sabotage
def one_pixel_late(spec, x, w, bias, y, work):
    late = spec.replace(padding=[(b + 1, a + 40) for b, a in spec.padding])
    run_another(spec, late, x, w, bias, y)


@sabotage
def half_precision_weights(spec, x, w, bias, y, work):
    run(spec, x, w.astype(np.float16).astype(w.dtype), bias, y, work)


@sabotage
def bfloat16_pixels(spec, x, w, bias, y, work):
    bits = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    run(spec, bits.view(np.float32).astype(x.dtype), w, bias, y, work)


@sabotage
def infinities_instead_of_one_output(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    y.flat[0] = np.inf


@sabotage
def input_written(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    x.flat[x.size // 2] += 1


@sabotage
def input_scaled_and_scaled_back_inexactly(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    x *= 3
    x /= 3


@sabotage
def bias_written(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    if bias is not None:
        bias[0] = 0


@sabotage
def state_spent_by_the_first_call(spec, x, w, bias, y, work):
    run(spec, x, w, bias, y, work)
    w[...] = 0


def weight_written(spec: ConvSpec, weight: Any) -> Any:
    state = weight.copy()
    weight[...] = 0
    return state


SABOTAGE["weight_written"] = replace(HONEST, name="weight_written", prepare=weight_written)
#: What hides a sabotage: every feature of a spec at once, no two sizes equal but the filter's, and K ≠ C.
RICH = ConvSpec((2, 6, 9, 12), (4, 3, 3, 3), stride=(2, 1), padding=((2, 1), (1, 0)), dilation=(1, 2), groups=2)
