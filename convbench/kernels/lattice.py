"""Stride and dilation made dense: any strided, dilated correlation is a sum of unit-stride ones.

In each dimension let g = gcd(stride, dilation), e = lcm(stride, dilation), A = dilation / g, B = stride / g. Write
the output as p = A·i + a with a < A and the tap as r = B·u + b with b < B. Then

    p·stride + r·dilation = e·(i + u) + a·stride + b·dilation     because  A·stride = B·dilation = e,
    y[A·i + a] = Σ_b Σ_u x_ab[i + u] · w_b[u],   x_ab[i] = x[e·i + a·stride + b·dilation − before],  w_b[u] = w[B·u + b]

so each output phase a is a problem of its own (they join the batch) and each tap phase b is one more input channel.
Dilation alone gives d² phase images with the same filter, stride alone the polyphase sum; no tap is ever a stuffed
zero except the last of a phase when B does not divide the filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd, prod
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat
from convbench.spec import ConvSpec

Triple = tuple[int, int, int]


class Lattice(NamedTuple):
    """The dense problem of a 3-D spec: N·ΠA images of C·ΠB channels, correlated at unit stride with ``taps``."""

    inputs: Triple  # D, H, W
    outputs: Triple  # O, P, Q
    stride: Triple
    dilation: Triple
    before: Triple  # leading padding
    step: Triple  # e: input pixels between neighbours of one phase
    out_phases: Triple  # A
    tap_step: Triple  # B
    tap_phases: Triple  # phases that hold a tap: min(B, filter)
    phase_outputs: Triple  # outputs of the largest output phase, ⌈outputs / A⌉
    taps: Triple  # taps of one phase, ⌈filter / B⌉

    @classmethod
    def of(cls, spec: ConvSpec) -> Lattice:
        """For a spec with three spatial dimensions (``reductions.lift``)."""
        pairs = list(zip(spec.stride, spec.dilation, strict=True))
        out_phases = [d // gcd(s, d) for s, d in pairs]
        tap_step = [s // gcd(s, d) for s, d in pairs]
        rows = (
            spec.spatial,
            spec.output_spatial,
            spec.stride,
            spec.dilation,
            [before for before, _ in spec.padding],
            [s * d // gcd(s, d) for s, d in pairs],
            out_phases,
            tap_step,
            [min(b, r) for b, r in zip(tap_step, spec.filter, strict=True)],
            [-(-p // a) for p, a in zip(spec.output_spatial, out_phases, strict=True)],
            [-(-r // b) for r, b in zip(spec.filter, tap_step, strict=True)],
        )
        return cls(*(tuple(map(int, row)) for row in rows))  # type: ignore[arg-type]

    @property
    def images(self) -> int:
        """ΠA: output phases, images of the dense problem for each image of the spec."""
        return prod(self.out_phases)

    @property
    def channels(self) -> int:
        """ΠB: tap phases, channels of the dense problem for each channel of the spec."""
        return prod(self.tap_phases)

    def dense_taps(self, weight: np.ndarray) -> np.ndarray:
        """w_b[u] for every phase b: (K, C/G, T, R, S) -> (K, C/G·ΠB, *taps); channel c·ΠB + b."""
        for axis, (phases, step, taps) in enumerate(zip(self.tap_phases, self.tap_step, self.taps, strict=True)):
            at = 2 + 2 * axis  # axes so far: K, C/G, b and u of each finished dimension
            missing = step * taps - weight.shape[at]
            padded = np.pad(weight, [(0, missing if i == at else 0) for i in range(weight.ndim)])
            split = padded.reshape(*padded.shape[:at], taps, step, *padded.shape[at + 1 :])
            weight = np.swapaxes(split, at, at + 1)[(slice(None),) * at + (slice(phases),)]
        K, channels = weight.shape[:2]
        ordered = weight.transpose(0, 1, 2, 4, 6, 3, 5, 7)
        return np.ascontiguousarray(ordered).reshape(K, channels * self.channels, *self.taps)

    def reads(self, N: int, C: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the dense problem reads x (N, C, D, H, W): int64 (N·ΠA, 4) images (n, a) and (C·ΠB, 4) channels (c, b).

        Pixel i of image m in channel c is x[u[0] + pixel (u[1:] + step·i) of a plane] with u = images[m] + channels[c].
        """
        volume = prod(self.inputs)
        images = [
            [n * C * volume, *(a * s - p for a, s, p in zip(at, self.stride, self.before, strict=True))]
            for n in range(N) for at in _triples(self.out_phases)
        ]  # fmt: skip
        channels = [
            [c * volume, *(b * d for b, d in zip(at, self.dilation, strict=True))]
            for c in range(C) for at in _triples(self.tap_phases)
        ]  # fmt: skip
        return np.array(images, np.int64).reshape(-1, 4), np.array(channels, np.int64)

    def writes(self, N: int, K: int) -> np.ndarray:
        """int64 (N·ΠA, 4): each image's first element in channel 0 of y (N, K, O, P, Q), and its outputs."""
        _, P, Q = self.outputs
        images = [
            [n * K * prod(self.outputs) + (at[0] * P + at[1]) * Q + at[2],
             *(-(-(size - a) // A) for size, a, A in zip(self.outputs, at, self.out_phases, strict=True))]
            for n in range(N) for at in _triples(self.out_phases)
        ]  # fmt: skip
        return np.array(images, np.int64).reshape(-1, 4)


def _triples(sizes: Triple) -> Iterator[Triple]:
    return product(range(sizes[0]), range(sizes[1]), range(sizes[2]))


@intrinsic
def copy_vector(typingctx, x, start, low, high, out, at, count):
    """out[at + i] = x[start + i] where low ≤ i < high, else 0, for the lanes i < count of one vector."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[4], args[4], args[5])
        value = vectors.load(source, index(0), vectors.mask(args[2], args[3]))
        vectors.store(value, target, index(0), vectors.mask(index(0), args[6]))
        return context.get_dummy_value()

    return types.void(x, start, low, high, out, at, count), codegen


@intrinsic
def _gather(typingctx, x, start, step, low, high, out, at, count):
    """The same from x[start + i·step]."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[5], args[5], args[6])
        value = vectors.gather(source, args[2], vectors.mask(args[3], args[4]))
        vectors.store(value, target, index(0), vectors.mask(index(0), args[7]))
        return context.get_dummy_value()

    return types.void(x, start, step, low, high, out, at, count), codegen


@intrinsic
def _copy(typingctx, x, start, low, high, out, at, count):
    """out[at + i] = x[start + i] where low ≤ i < high, else 0, for 0 ≤ i < count; 1 ≤ count < 2³¹, 0 ≤ low ≤ high."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[4], args[4], args[5])
        inside = builder.sub(args[3], args[2])

        def vector(i, _):
            j = builder.mul(i, index(vectors.lanes))
            value = vectors.load(source, j, vectors.inside(builder.sub(j, args[2]), inside))
            vectors.store(value, target, j, vectors.inside(j, args[6]))
            return []

        repeat(builder, _vectors(builder, vectors, args[6]), [], vector)
        return context.get_dummy_value()

    return types.void(x, start, low, high, out, at, count), codegen


@intrinsic
def _add(typingctx, source, start, add, y, at, count):
    """y[at + i] = source[start + i] + add for 0 ≤ i < count; 1 ≤ count < 2³¹."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, source.dtype)
        reads = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[3], args[3], args[4])
        added = vectors.splat(args[2])

        def vector(i, _):
            j = builder.mul(i, index(vectors.lanes))
            mask = vectors.inside(j, args[5])
            vectors.store(builder.fadd(vectors.load(reads, j, mask), added), target, j, mask)
            return []

        repeat(builder, _vectors(builder, vectors, args[5]), [], vector)
        return context.get_dummy_value()

    return types.void(source, start, add, y, at, count), codegen


def _vectors(builder, vectors, count):
    """So many hold ``count`` elements."""
    return builder.udiv(builder.add(count, index(vectors.lanes - 1)), index(vectors.lanes))


@njit
def read_rows(x, base, row, column, down, along, step, size, target, at, pitch, rows, count):
    """Lines r < ``rows`` of ``count`` elements at target[at + r·pitch …], of an image of ``size`` (H, W) at x[base …].

    target[at + r·pitch + j] = x[base + h·W + w] where 0 ≤ h < H and 0 ≤ w < W, else 0;
    h = row + r·down, w = column + r·along + j·step.
    """
    H, W = size
    for r in range(rows):
        h, first = row + r * down, column + r * along
        width = W if 0 <= h < H else 0
        line = base + h * W if width else base
        if step == 1 and count > 0:
            low = min(max(-first, 0), count)
            _copy(x, line + first, low, min(max(width - first, low), count), target, at + r * pitch, count)
        elif step != 1:
            _read_apart(x, line, first, step, width, target, at + r * pitch, count)


@njit
def _read_apart(x, base, start, step, size, target, at, count):
    """target[at + j] = x[base + i], i = start + j·step, where 0 ≤ i < size, else 0; for 0 ≤ j < count."""
    first, last = -(start // step), (size - 1 - start) // step + 1
    for j in range(0, count, VECTOR_BYTES // x.itemsize):
        _gather(x, base + start + j * step, step, first - j, last - j, target, at + j, count - j)


@njit
def write_rows(source, at, pitch, rows, count, y, start, down, step, add):
    """y[start + r·down + j·step] = source[at + r·pitch + j] + add for 0 ≤ r < ``rows``, 0 ≤ j < ``count``."""
    for r in range(rows):
        if step == 1 and count > 0:
            _add(source, at + r * pitch, add, y, start + r * down, count)
        elif step != 1:
            for j in range(count):
                y[start + r * down + j * step] = source[at + r * pitch + j] + add
