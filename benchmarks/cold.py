"""Memory put out of the caches: every cache line of the ranges given is flushed to memory, by address.

``clflush`` is exact where streaming through a large buffer is not: the last-level caches of servers are larger than
any buffer one would want to stream between two calls, and do not replace their oldest lines first. x86 only.
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


def evict(ranges: Iterable[Range]) -> None:
    """Flush every line of these ranges from all caches of the machine."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise SystemExit(f"cold runs need x86's clflush; this machine is {platform.machine()}")
    for address, nbytes in ranges:
        if nbytes:
            _flush(address - address % LINE, address + nbytes)


def memory(value: Any) -> Iterator[Range]:
    """The address ranges of all arrays in ``value``: an array, or any nest of containers and records of them."""
    if isinstance(value, np.ndarray):
        yield value.__array_interface__["data"][0], value.nbytes
    elif isinstance(value, dict):
        for part in value.values():
            yield from memory(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from memory(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from memory(getattr(value, field.name))
