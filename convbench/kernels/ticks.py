"""Where the time of a call goes: marks between its phases, in code that is compiled apart.

    mark(ticks, phase)     the time since the last mark was spent in this phase

    ticks   OFF: ordinary runs; no code is emitted
            an int64 array [counter at the last mark, ticks of phase 0, 1, …]: the counter is read, the ticks since the
            last mark are added to the phase. One thread at a time.

Every tick from ``start`` to the last mark belongs to one phase, so the phases add up to the time between them. A mark
reads a counter and touches three numbers in L1; the processor may still be busy with what came before it, which blurs a
boundary by tens of nanoseconds and moves no sum. The counter is the processor's own of constant rate (TSC on x86, the
generic timer on Arm); ``tick_seconds`` is its rate.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter, sleep
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.simd import INDEX, index, pointer

OFF = 0  # a number, for Numba finds the type of a number fastest
CALL = 0  # the phase that every run has: Python's own time, beside its kernels
CALIBRATION = 0.02  # seconds
READINGS = 7  # of both clocks at once, to find one that nothing interrupted


def _counter(builder: ir.IRBuilder) -> ir.Value:
    """The counter's value, read where it stands."""
    kind = ir.FunctionType(INDEX, [])
    if binding.get_process_triple().startswith("aarch64"):  # whose cycle counter is the kernel's own
        binding.initialize_native_asmparser()
        return builder.asm(kind, "mrs $0, cntvct_el0", "=r,~{memory}", [], side_effect=True)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])


@intrinsic
def mark(typingctx, ticks, phase):
    """The contract above, in compiled code; nothing of it where ``ticks`` is no array."""

    def codegen(context, builder, sig, args):
        if isinstance(ticks, types.Array):
            last = pointer(context, builder, ticks, args[0], index(0))
            spent = builder.gep(last, [builder.add(context.cast(builder, args[1], phase, types.int64), index(1))])
            now = _counter(builder)
            builder.store(builder.add(builder.load(spent), builder.sub(now, builder.load(last))), spent)
            builder.store(now, last)
        return context.get_dummy_value()

    return types.void(ticks, phase), codegen


@intrinsic
def _now(typingctx):
    return types.int64(), lambda context, builder, sig, args: _counter(builder)


@njit
def _mark(ticks, phase):
    mark(ticks, phase)


def tick(ticks: Any, phase: int) -> None:
    """``mark`` for code that is not compiled."""
    if ticks is not OFF:
        _mark(ticks, phase)


@njit
def start(ticks):
    """Nothing was spent yet, from now on."""
    ticks[1:] = 0
    ticks[0] = _now()


@cache
def tick_seconds() -> float:
    """Seconds a tick, by ``perf_counter``."""

    def reading() -> tuple[float, float, int]:
        before = perf_counter()
        start(ticks)
        after = perf_counter()
        return after - before, (before + after) / 2, int(ticks[0])

    ticks = np.zeros(1, np.int64)
    _, first, begin = min(reading() for _ in range(READINGS))
    sleep(CALIBRATION)
    _, last, end = min(reading() for _ in range(READINGS))
    return (last - first) / (end - begin)
