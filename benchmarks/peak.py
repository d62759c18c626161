"""The multiply-add peak by loops of their own, which no change of a kernel moves: from registers, and from L1.

``registers``  sums s += f · f: nothing but multiply-adds.
``loading``    every second one is s += f · x with a vector x from L1, the operand of the multiply-add itself: fewer
               loads than a matrix product has, and no instruction for them. On a core whose load ports a neighbour
               takes it slows down as the kernels do, where the other would not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from pairs import sample

from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, opaque, pointer

CHAINS = 12  # independent sums: more than latency × ports of any core we know, and all fit 16 registers
STEPS = 16  # of CHAINS multiply-adds a pass: counting passes takes places of some. They load 6 KB of 64-byte vectors
SECONDS = 5e-4
RATE = 1e11  # flop/s, roughly: sizes a sample


@intrinsic(prefer_literal=True)
def _sums(typingctx, loads, times, factor, x):
    """CHAINS vectors of sums, ``times`` passes of STEPS multiply-adds each; with ``loads`` half of them by x."""
    reads = bool(loads.literal_value)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, factor)
        lanes, kind = vectors.lanes, vectors.type
        start = pointer(context, builder, x, args[3], index(0))
        value = vectors.splat(args[2])
        entry, body, done = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        count = builder.phi(ir.IntType(64))
        count.add_incoming(index(0), entry)
        sums = [builder.phi(kind) for _ in range(CHAINS)]
        here = opaque(builder, start)  # an indexed operand would be an instruction of its own
        after = list(sums)
        for step in range(STEPS):
            for i in range(CHAINS):
                other = value
                if reads and i % 2 == 0:
                    address = builder.gep(here, [index((step * CHAINS + i) // 2 * lanes)])
                    other = builder.load(builder.bitcast(address, kind.as_pointer()), align=VECTOR_BYTES)
                after[i] = vectors.fma(value, other, after[i])
        for i, total in enumerate(sums):
            total.add_incoming(ir.Constant(kind, [float(i)] * lanes), entry)
            total.add_incoming(after[i], body)
        next_count = builder.add(count, index(1))
        count.add_incoming(next_count, body)
        builder.cbranch(builder.icmp_signed("<", next_count, args[1]), body, done)
        builder.position_at_end(done)
        total = after[0]
        for other in after[1:]:
            total = builder.fadd(total, other)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return factor(loads, types.int64, factor, x), codegen


@njit
def _registers(times, x, out):
    out[0] = _sums(0, times, x[0], x)


@njit
def _loading(times, x, out):
    out[0] = _sums(1, times, x[0], x)


@dataclass(frozen=True)
class Loop:
    """``call(times)`` does ``flop`` that often."""

    flop: float
    call: Callable[[int], None]

    @property
    def times(self) -> int:
        return max(1, round(SECONDS * RATE / self.flop))

    def rate(self) -> float:
        """flop/s of one sample."""
        return self.flop * self.times / sample(self._once, 1)

    def _once(self) -> None:
        self.call(self.times)


def loop(dtype: str, loads: bool) -> Loop:
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    x, out = aligned_empty((STEPS * CHAINS // 2 * lanes,), np.dtype(dtype)), np.zeros(1, dtype)
    x[:] = 1e-3
    kernel = _loading if loads else _registers
    return Loop(2.0 * STEPS * CHAINS * lanes, lambda times: kernel(times, x, out))


def registers(dtype: str) -> Loop:
    return loop(dtype, loads=False)


def loading(dtype: str) -> Loop:
    return loop(dtype, loads=True)
