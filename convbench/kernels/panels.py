"""What brgemm over a padded image needs: the image and the packed filter panels, the plan that sizes them, and the
way of its (pixels, NR) products to NCHW."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.kernels.gemm import VECTORS, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import Part, Polyphase, polyphase_pad
from convbench.kernels.packing import pack_panels
from convbench.kernels.threads import parallel
from convbench.kernels.transpose import store_transposed
from convbench.reductions import lift
from convbench.spec import ConvSpec


class PanelPlan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec  # the problem with three spatial dimensions
    image: Polyphase
    b_off: np.ndarray  # int64 (taps,): each tap's filter in its panel


def plan_panels(spec: ConvSpec, threads: int, workspace_limit: int | None) -> PanelPlan:
    lifted = lift(spec, 3)
    image = Polyphase.of(lifted)
    step = spec.weight_shape[1] * panel_width(spec.np_dtype)
    return PanelPlan(spec, threads, lifted, image, np.arange(len(image.taps), dtype=np.int64) * step)


def panel_count(spec: ConvSpec) -> int:
    """Panels of one group's output channels."""
    return -(-(spec.K // spec.groups) // panel_width(spec.np_dtype))


def pack_filters(plan: PanelPlan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, …taps) -> (G, ⌈K/G / NR⌉, taps, C/G, NR): what brgemm reads as B, one tap a batch step."""
    groups, (K, channels) = plan.spec.groups, weight.shape[:2]
    by_tap = np.moveaxis(weight.reshape(K, channels, -1), 1, 2).reshape(groups, K // groups, -1)
    packed = pack_panels(by_tap, plan.threads)
    return packed.reshape(*packed.shape[:2], -1, channels, packed.shape[-1])


def image_part(plan: PanelPlan) -> Part:
    """The scratch that :func:`pad` fills; empty where the input itself is the image."""
    size = 0 if plan.image.in_place else plan.spec.N * plan.spec.C * plan.image.plane
    return (size,), plan.spec.np_dtype


def pad(plan: PanelPlan, x: np.ndarray, padded: np.ndarray) -> np.ndarray:
    """Fill ``padded`` with the polyphase image of x and return it; x itself, flat, where that is the image."""
    spec, image = plan.lifted, plan.image
    if image.in_place:
        return x.reshape(-1)
    before = tuple(before for before, _ in spec.padding)
    channels = x.reshape(-1, *spec.spatial)
    parallel(polyphase_pad, len(channels), plan.threads, channels, padded, image.plane, image.phases, image.size,
             spec.stride, before)  # fmt: skip
    return padded


def operand_or_empty(bias: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    """Kernels take one type: an absent bias is an empty array."""
    return like.reshape(-1)[:0] if bias is None else bias


@njit
def scatter(tile, first, rows, size_h, size_w, y, image, channel, channels, bias):
    """Write tile (rows, NR) of flattened padded-width pixels ``first`` … to y (N, K, O, P, Q), plus bias.

    Pixel i stands for (o, p, q) with i = (o·size_h + p)·size_w + q; those with p ≥ P or q ≥ Q are not outputs.
    """
    _, K, O, P, Q = y.shape
    width = tile.shape[1]
    lanes = width // VECTORS
    plane = O * P * Q
    valid_channels = min(width, channels - channel % channels)
    source, target = tile.reshape(tile.size), y.reshape(y.size)
    contiguous = size_w == Q and size_h == P
    i = first
    while i < first + rows:
        row, q = divmod(i, size_w)
        o, p = divmod(row, size_h)
        count = first + rows - i if contiguous else min(first + rows - i, size_w - q)
        valid = count if contiguous else min(count, Q - q)
        if p < P and o < O and valid > 0:
            start = (image * K + channel) * plane + (o * P + p) * Q + q
            for n in range(0, valid_channels, lanes):
                some = min(lanes, valid_channels - n)
                for j in range(0, valid, lanes):
                    store_transposed(
                        source, (i - first + j) * width + n, width, min(lanes, valid - j),
                        target, start + n * plane + j, plane, some, bias, channel + n, min(some, bias.size),
                    )  # fmt: skip
        i += count
