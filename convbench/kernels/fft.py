"""Batched power-of-two FFTs over vectors: the transforms inside ``fft_tiled``.

Contract::

    forward(z, re, im, n, step, vectors, apart, w, 1):  Z[s, v] = Σ_{j<n} z[j, v] · e^{−2πi·j·k(s)/n}     in place
    inverse(z, re, im, n, step, vectors, apart, w, 1):  z[j, v] = Σ_{s<n} Z[s, v] · e^{+2πi·j·k(s)/n}     not scaled

    z[j, v], v < vectors   L = lanes(dtype) complex numbers: real parts at z[re + j·step + v·apart …], imaginary parts
                           at z[im + j·step + v·apart …], z flat, float32 or float64
    k = frequencies(n)     the digit-reversed order in which decimation in frequency leaves them
    w = twiddles(n, dtype)         n in {1, 4, 8, 16, 32, …}
    the last argument      leaf(n) instead of 1 leaves out the last pass of the forward transform and the first of the
                           inverse: n / leaf(n) transforms of leaf(n) points each (``spectra.multiply_leaves``)

A convolution needs no natural order: spectra are multiplied position by position, and the inverse (decimation in time)
takes the order that the forward transform left, so that nothing is ever permuted. Radix 8 and 4 (Van Loan,
"Computational Frameworks for the Fast Fourier Transform", 1992, §2.2–2.4). Butterflies are LLVM vector code: Numba's
own vectoriser gives up on the sixteen streams of a radix-8 pass because it cannot tell that they do not overlap.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import DTypeLike

from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer

Pair = tuple[ir.Value, ir.Value]


def lanes(dtype: DTypeLike) -> int:
    """Elements of one vector of the host's width."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def _radix(n: int) -> int:
    """Radix of the first pass over n points: 8 unless two fours, or one, finish it."""
    return 4 if n in (4, 16) else 8


def frequencies(n: int) -> np.ndarray:
    """int64 (n,): the frequency k(s) at each position s of a forward transform."""
    if n == 1:
        return np.zeros(1, np.int64)
    radix = _radix(n)
    inner = frequencies(n // radix)
    return np.concatenate([q + radix * inner for q in range(radix)])


def partners(n: int) -> np.ndarray:
    """int64 (n,): the position of frequency −k(s); real signals have conjugate values there."""
    k = frequencies(n)
    position = np.empty(n, np.int64)
    position[k] = np.arange(n)
    return position[-k % n]


def roots(n: int, k: np.ndarray) -> np.ndarray:
    """e^{−2πi·k/n} in complex128; exponents are reduced first, so that large ones lose nothing."""
    return np.exp(-2j * np.pi * (k % n) / n)


@lru_cache(maxsize=64)
def twiddles(n: int, dtype: str) -> np.ndarray:
    """Flat table of every pass over n points: for each pass with m points left and radix r, for k < m/r, 1 ≤ q < r,
    the pair (Re, Im) of e^{−2πi·k·q/m}."""
    parts, m = [np.zeros(0)], n
    while m > 1:
        radix = _radix(m)
        w = roots(m, np.outer(np.arange(m // radix), np.arange(1, radix)))
        parts.append(np.stack([w.real, w.imag], axis=-1).ravel())
        m //= radix
    table = np.concatenate(parts)
    aligned = aligned_empty(table.shape, np.dtype(dtype))
    aligned[:] = table
    return aligned


class Complex:
    """Arithmetic on complex vectors: pairs (real, imaginary) of LLVM vectors."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.builder = vectors.builder

    def constant(self, number: float) -> ir.Constant:
        return ir.Constant(self.vectors.type, [number] * self.vectors.lanes)

    def load(self, re: ir.Value, im: ir.Value, at: ir.Value) -> Pair:
        return self.vectors.load(re, at), self.vectors.load(im, at)

    def store(self, value: Pair, re: ir.Value, im: ir.Value, at: ir.Value) -> None:
        self.vectors.store(value[0], re, at)
        self.vectors.store(value[1], im, at)

    def add(self, a: Pair, b: Pair) -> Pair:
        return self.builder.fadd(a[0], b[0]), self.builder.fadd(a[1], b[1])

    def sub(self, a: Pair, b: Pair) -> Pair:
        return self.builder.fsub(a[0], b[0]), self.builder.fsub(a[1], b[1])

    def sub_i(self, a: Pair, b: Pair) -> Pair:
        """a − i·b."""
        return self.builder.fadd(a[0], b[1]), self.builder.fsub(a[1], b[0])

    def add_i(self, a: Pair, b: Pair) -> Pair:
        """a + i·b."""
        return self.builder.fsub(a[0], b[1]), self.builder.fadd(a[1], b[0])

    def mul(self, a: Pair, w: Pair) -> Pair:
        real = self.vectors.fma(a[0], w[0], self.builder.fneg(self.builder.fmul(a[1], w[1])))
        return real, self.vectors.fma(a[0], w[1], self.builder.fmul(a[1], w[0]))

    def add_times(self, a: Pair, b: Pair, number: float) -> Pair:
        """a + number·b."""
        factor = self.constant(number)
        return self.vectors.fma(factor, b[0], a[0]), self.vectors.fma(factor, b[1], a[1])

    def turned(self, values: list[Pair], table: ir.Value) -> list[Pair]:
        """values[q] times the q-th root of a table of pairs that begins with the first."""
        turned = values[:1]
        for q, value in enumerate(values[1:]):
            parts = (self.builder.load(self.builder.gep(table, [index(2 * q + part)])) for part in range(2))
            re, im = (self.vectors.splat(part) for part in parts)
            turned.append(self.mul(value, (re, im)))
        return turned

    def dft4(self, z: list[Pair]) -> list[Pair]:
        even, odd = self.add(z[0], z[2]), self.add(z[1], z[3])
        a, b = self.sub(z[0], z[2]), self.sub(z[1], z[3])
        return [self.add(even, odd), self.sub_i(a, b), self.sub(even, odd), self.add_i(a, b)]

    def dft8(self, z: list[Pair]) -> list[Pair]:
        """DFT-4s of the even and the odd points; e^{−iπ/4}·b = (b − i·b)/√2, e^{−3iπ/4}·b = −i·(b − i·b)/√2."""
        even, odd = self.dft4(z[0::2]), self.dft4(z[1::2])
        once, thrice = (self.sub_i(b, b) for b in (odd[1], odd[3]))
        thrice = thrice[1], self.builder.fneg(thrice[0])
        half = 0.5**0.5
        return [
            self.add(even[0], odd[0]), self.add_times(even[1], once, half),
            self.sub_i(even[2], odd[2]), self.add_times(even[3], thrice, half),
            self.sub(even[0], odd[0]), self.add_times(even[1], once, -half),
            self.add_i(even[2], odd[2]), self.add_times(even[3], thrice, -half),
        ]  # fmt: skip

    def dft(self, z: list[Pair]) -> list[Pair]:
        return self.dft8(z) if len(z) == 8 else self.dft4(z)


@intrinsic(prefer_literal=True)
def _butterfly(typingctx, z, re, im, step, w, w_start, radix, order):
    """One butterfly of one vector of lanes: points re + q·step, im + q·step for q < radix.

    order (a literal): 0 no twiddles · 1 multiply by them after the DFT (decimation in frequency) · 2 before it
    (in time). radix: the literal 4 or 8.
    """
    points, twiddled = radix.literal_value, order.literal_value
    signature = types.void(z, re, im, step, w, w_start, radix, order)

    def codegen(context, builder, sig, args):
        c = Complex(Vectors(context, builder, z.dtype))
        real, imaginary = (pointer(context, builder, sig.args[0], args[0], start) for start in args[1:3])
        table = pointer(context, builder, sig.args[4], args[4], args[5])

        legs = [builder.mul(args[3], index(q)) for q in range(points)]
        values = [c.load(real, imaginary, leg) for leg in legs]
        values = c.turned(values, table) if twiddled == 2 else values
        values = c.dft(values)
        values = c.turned(values, table) if twiddled == 1 else values
        for value, leg in zip(values, legs, strict=True):
            c.store(value, real, imaginary, leg)
        return context.get_dummy_value()

    return signature, codegen


@njit
def leaf(n):
    """Points of the last pass of ``forward`` over n > 1 points, the first of ``inverse``."""
    bits = 0
    while n >> bits > 1:
        bits += 1
    return 8 if bits % 3 == 0 else 4


@njit
def forward(z, re, im, n, step, vectors, apart, w, leaf):
    """The contract above: natural order in, digit-reversed order out."""
    m, table = n, 0
    while m > leaf:
        radix = 4 if m == 4 or m == 16 else 8
        inner = m // radix
        leg = inner * step
        for first in range(0, n, m):
            for k in range(inner):
                at = (first + k) * step
                pair = table + 2 * (radix - 1) * k
                if radix == 8 and k > 0:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, re + v, im + v, leg, w, pair, 8, 1)
                elif radix == 8:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, re + v, im + v, leg, w, pair, 8, 0)
                elif k > 0:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, re + v, im + v, leg, w, pair, 4, 1)
                else:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, re + v, im + v, leg, w, pair, 4, 0)
        table += 2 * (radix - 1) * inner
        m = inner


@njit
def inverse(z, re, im, n, step, vectors, apart, w, leaf):
    """The contract above: digit-reversed order in, natural order out, n times too large.

    The passes of ``forward`` backwards: n = 8·…·8, 8·…·8·4 or 8·…·8·4·4. Swapping the real and the imaginary plane
    conjugates every root.
    """
    bits = 0
    while n >> bits > 1:
        bits += 1
    m, table = leaf, w.size - 2 * (leaf - 1)
    while m < n:
        radix = 4 if (m == 1 and bits % 3 != 0) or (m == 4 and bits % 3 == 1) else 8
        table -= 2 * (radix - 1) * m
        leg = m * step
        for first in range(0, n, m * radix):
            for k in range(m):
                at = (first + k) * step
                pair = table + 2 * (radix - 1) * k
                if radix == 8 and k > 0:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, im + v, re + v, leg, w, pair, 8, 2)
                elif radix == 8:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, im + v, re + v, leg, w, pair, 8, 0)
                elif k > 0:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, im + v, re + v, leg, w, pair, 4, 2)
                else:
                    for v in range(at, at + vectors * apart, apart):
                        _butterfly(z, im + v, re + v, leg, w, pair, 4, 0)
        m *= radix


@njit
def strip(n):
    """Vectors to transform together so that n points of them, real and imaginary, stay in 32 KB of L1."""
    return max(1, 32768 // (n * 2 * VECTOR_BYTES))


@intrinsic
def copy_block(typingctx, source, re, im, sign, target, re_to, im_to):
    """One complex vector: target[re_to …] = source[re …], target[im_to …] = sign · source[im …]."""
    signature = types.void(source, re, im, sign, target, re_to, im_to)

    def codegen(context, builder, sig, args):
        v = Vectors(context, builder, source.dtype)
        real, imaginary = (v.load(pointer(context, builder, sig.args[0], args[0], at), index(0)) for at in args[1:3])
        turned = builder.fmul(imaginary, v.splat(args[3]))
        for value, at in ((real, args[5]), (turned, args[6])):
            v.store(value, pointer(context, builder, sig.args[4], args[4], at), index(0))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def transpose(typingctx, source, start, step, target, at, by):
    """target[at + i·by + j] = source[start + j·step + i] for i, j < L, the lanes of one vector, in registers."""
    signature = types.void(source, start, step, target, at, by)

    def codegen(context, builder, sig, args):
        v = Vectors(context, builder, source.dtype)
        reads = pointer(context, builder, sig.args[0], args[0], args[1])
        writes = pointer(context, builder, sig.args[3], args[3], args[4])
        rows = [v.load(reads, builder.mul(args[2], index(i))) for i in range(v.lanes)]
        distance = v.lanes // 2
        while distance:  # swap the off-diagonal quarters of every 2·distance square
            low = [j if not j & distance else v.lanes + j - distance for j in range(v.lanes)]
            high = [j + distance if not j & distance else v.lanes + j for j in range(v.lanes)]
            for i in range(v.lanes):
                if not i & distance:
                    a, b = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = v.pick(a, b, low), v.pick(a, b, high)
            distance //= 2
        for i, row in enumerate(rows):
            v.store(row, writes, builder.mul(args[5], index(i)))
        return context.get_dummy_value()

    return signature, codegen
