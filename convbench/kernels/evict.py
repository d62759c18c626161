"""Memory put out of the caches: every cache line of the ranges given is flushed to memory, by address.

``clflush`` is exact where streaming through a large buffer is not: the last-level caches of servers are larger than
any buffer one would want to stream between two calls, and do not replace their oldest lines first. x86 only. What
translates addresses (the TLB) stays as it is.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit

LINE = 64
Range = tuple[int, int]  # address, bytes


@intrinsic
def _flush_line(typingctx, address):
    def codegen(context, builder, sig, args):
        byte = ir.IntType(8).as_pointer()
        flush = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte]), "llvm.x86.sse2.clflush"
        )
        builder.call(flush, [builder.inttoptr(args[0], byte)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def _fence(typingctx):
    def codegen(context, builder, sig, args):
        fence = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.mfence"
        )
        builder.call(fence, [])
        return context.get_dummy_value()

    return types.void(), codegen


@njit
def _flush(begin, end):
    for address in range(begin, end, LINE):
        _flush_line(address)
    _fence()


def cannot_evict() -> str | None:
    """Why memory cannot be put out of this machine's caches; None if it can."""
    if platform.machine() in ("x86_64", "AMD64"):
        return None
    return f"cold caches need x86's clflush; this machine is {platform.machine()}"


def evict(ranges: Iterable[Range]) -> None:
    """Flush every line of these ranges from all caches of the machine, which ``cannot_evict`` says nothing against."""
    for address, nbytes in ranges:
        if nbytes:
            _flush(address - address % LINE, address + nbytes)


def memory(value: Any) -> Iterator[Range]:
    """The address ranges of all arrays in ``value``: an array, or any nest of containers and records of them."""
    if isinstance(value, np.ndarray):
        yield _extent(value)
    elif isinstance(value, dict):
        yield from memory(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from memory(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from memory(getattr(value, field.name))


def _extent(array: np.ndarray) -> Range:
    """From the first byte of the lowest element to the last one of the highest, whatever the strides."""
    if not array.size:
        return 0, 0
    steps = [stride * (n - 1) for stride, n in zip(array.strides, array.shape, strict=True)]
    below = sum(step for step in steps if step < 0)
    above = sum(step for step in steps if step > 0)
    return array.__array_interface__["data"][0] + below, above - below + array.itemsize
