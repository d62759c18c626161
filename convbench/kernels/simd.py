"""Vectors of the host's width as LLVM IR: what an ``@intrinsic`` needs to emit loops that LLVM would not vectorise so.

Masked lanes touch no memory, so a vector may overhang an array as long as its mask does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from convbench.kernels.jit import chosen_vector_bytes


def _vector_bytes() -> int:
    """The host's widest vectors, or what ``CONVBENCH_VECTOR_BYTES`` asks for: one machine can try all widths."""
    features = binding.get_host_cpu_features()
    widest = 64 if features.get("avx512f") else 32 if features.get("avx") else 16
    chosen = chosen_vector_bytes() or widest
    if chosen > widest:
        raise ValueError(f"CONVBENCH_VECTOR_BYTES={chosen}, but this host's vectors have {widest} bytes")
    return chosen


VECTOR_BYTES = _vector_bytes()
INDEX = ir.IntType(64)
_LANE = ir.IntType(32)
Turn = Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]
"""One turn of a loop: its number and the values carried so far to those carried on."""


def index(value: int) -> ir.Constant:
    return ir.Constant(INDEX, value)


def pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, start: ir.Value) -> ir.Value:
    """Address of element ``start`` of a Numba array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [start])


@intrinsic
def viewed(typingctx, array, like):
    """``array.view(like.dtype)`` for a flat, contiguous array; Numba's own compiles functions of its own."""
    result = array.copy(dtype=like.dtype)
    size = like.dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        old, new = context.make_array(array)(context, builder, args[0]), context.make_array(result)(context, builder)
        count = builder.udiv(builder.mul(old.nitems, old.itemsize), index(size))
        data = builder.bitcast(old.data, new.data.type)
        populate_array(new, data, [count], [index(size)], index(size), old.meminfo, old.parent)
        return impl_ret_borrowed(context, builder, result, new._getvalue())

    return result(array, like), codegen


def opaque(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The same integer or pointer, of which LLVM knows nothing: it will not compute ahead what follows from it.

    Unrolled addresses would else become as many variables of the loop around them, each kept on the stack.
    """
    empty = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0")
    return builder.call(empty, [value])


def once(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """:func:`opaque`, and the loop it stands in is not unrolled: loops that seldom run would crowd out the others."""
    empty = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0")
    return builder.call(empty, [value], attrs=("convergent",))


def repeat(
    builder: ir.IRBuilder,
    count: ir.Value,
    carried: Sequence[ir.Value],
    body: Turn,
) -> Sequence[ir.Value]:
    """Emit ``for i in range(count): carried = body(i, carried)``, count ≥ 1; gives the values after the last."""
    before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("loop.done")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(INDEX)
    held = [builder.phi(value.type) for value in carried]
    updated = body(i, held)
    following = builder.add(i, index(1))
    for phi, start, value in zip([i, *held], [index(0), *carried], [following, *updated], strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    return updated


def repeat_any(
    builder: ir.IRBuilder,
    count: ir.Value,
    carried: Sequence[ir.Value],
    body: Turn,
) -> Sequence[ir.Value]:
    """:func:`repeat` for count ≥ 0."""
    before, some, done = builder.block, builder.append_basic_block("some"), builder.append_basic_block("some.done")
    builder.cbranch(builder.icmp_signed(">", count, index(0)), some, done)
    builder.position_at_end(some)
    updated = repeat(builder, count, carried, body)
    after = builder.block
    builder.branch(done)
    builder.position_at_end(done)
    values = []
    for new, old in zip(updated, carried, strict=True):
        value = builder.phi(new.type)
        value.add_incoming(old, before)
        value.add_incoming(new, after)
        values.append(value)
    return values


def repeat_together(
    builder: ir.IRBuilder,
    count: ir.Value,
    carried: Sequence[ir.Value],
    body: Turn,
    together: int,
) -> Sequence[ir.Value]:
    """:func:`repeat` that counts once for ``together`` turns; the rest goes one by one."""
    if together == 1:
        return repeat(builder, count, carried, body)

    def some(i: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        for k in range(together):
            carried = body(builder.add(builder.mul(i, index(together)), index(k)), carried)
        return carried

    rest = builder.urem(count, index(together))
    first = builder.sub(count, rest)
    carried = repeat_any(builder, builder.udiv(count, index(together)), carried, some)
    return repeat_any(builder, rest, carried, lambda i, carried: body(builder.add(first, i), carried))


class Vectors:
    """Operations on one vector of ``lanes`` elements; addresses are (pointer to an element, index of an element)."""

    def __init__(self, context: Any, builder: ir.IRBuilder, dtype: Any) -> None:
        size = dtype.bitwidth // 8
        self.builder = builder
        self.lanes = VECTOR_BYTES // size
        self.type = ir.VectorType(context.get_data_type(dtype), self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        self.itemsize = size
        suffix = f"v{self.lanes}f{dtype.bitwidth}"
        mask = ir.VectorType(ir.IntType(1), self.lanes)
        self._numbers = ir.Constant(ir.VectorType(INDEX, self.lanes), list(range(self.lanes)))
        address = self.type.as_pointer()
        self._fma = self._declare(f"llvm.fma.{suffix}", self.type, [self.type] * 3)
        self._load = self._declare(f"llvm.masked.load.{suffix}.p0", self.type, [address, _LANE, mask, self.type])
        addresses = ir.VectorType(self.type.element.as_pointer(), self.lanes)
        self._gather = self._declare(
            f"llvm.masked.gather.{suffix}.v{self.lanes}p0", self.type, [addresses, _LANE, mask, self.type]
        )
        element = self.type.element.as_pointer()
        self._expand = self._declare(f"llvm.masked.expandload.{suffix}", self.type, [element, mask, self.type])
        self._compress = self._declare(f"llvm.masked.compressstore.{suffix}", ir.VoidType(), [self.type, element, mask])
        self._store = self._declare(f"llvm.masked.store.{suffix}.p0", ir.VoidType(), [self.type, address, _LANE, mask])

    def _declare(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def _address(self, base: ir.Value, at: ir.Value) -> ir.Value:
        return self.builder.bitcast(self.builder.gep(base, [at]), self.type.as_pointer())

    def splat(self, value: ir.Value) -> ir.Value:
        """``value`` in every lane."""
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(_LANE, 0))
        return self.builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes)
        )

    def spread(self, address: ir.Value, count: int) -> ir.Value:
        """The ``count`` elements at a pointer, 1 or 2, in lanes 0, …, count − 1, 0, … and so on."""
        if count == 1:
            return self.splat(self.builder.load(address))
        few = ir.VectorType(self.type.element, count)
        two = self.builder.load(self.builder.bitcast(address, few.as_pointer()), align=self.itemsize)
        return self.builder.shuffle_vector(
            two, two, ir.Constant(ir.VectorType(_LANE, self.lanes), [i % count for i in range(self.lanes)])
        )

    def mask(self, low: ir.Value, high: ir.Value) -> ir.Value:
        """Lanes i with low ≤ i < high; the bounds are int64 and lie anywhere."""
        return self.masks(low, high, 1)[0]

    def masks(self, low: ir.Value, high: ir.Value, count: int) -> list[ir.Value]:
        """:meth:`mask` for each of ``count`` consecutive vectors, low and high counted from the first lane of all."""
        lanes = self.lanes * count
        wide = ir.IntType(64 if lanes < 64 else 128)

        def below(bound: ir.Value) -> ir.Value:
            for keep, end in (("<", index(lanes)), (">", index(0))):
                bound = self.builder.select(self.builder.icmp_signed(keep, bound, end), bound, end)
            return self.builder.shl(ir.Constant(wide, 1), self.builder.zext(bound, wide) if wide != INDEX else bound)

        chosen = self.builder.sub(below(high), below(low))
        return [self.mask_of(self.builder.lshr(chosen, ir.Constant(wide, i * self.lanes))) for i in range(count)]

    def mask_of(self, bits: ir.Value) -> ir.Value:
        """Lanes i whose bit i of the integer ``bits`` is set."""
        short = self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(short, ir.VectorType(ir.IntType(1), self.lanes))

    def inside(self, first: ir.Value, extent: ir.Value) -> ir.Value:
        """Lanes i with 0 ≤ first + i < extent, int64 below 2³¹: cheaper than ``mask`` where there are many."""
        first, extent = (self.splat(self.builder.trunc(value, _LANE)) for value in (first, extent))
        numbers = ir.Constant(ir.VectorType(_LANE, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_unsigned("<", self.builder.add(first, numbers), extent)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a · b + c, rounded once."""
        return self.builder.call(self._fma, [a, b, c])

    def load(self, base: ir.Value, at: ir.Value, mask: ir.Value | None = None) -> ir.Value:
        """The vector at ``base[at]``; lanes outside the mask are zero and read nothing."""
        address = self._address(base, at)
        if mask is None:
            return self.builder.load(address, align=self.itemsize)
        return self.builder.call(self._load, [address, ir.Constant(_LANE, self.itemsize), mask, self.zero])

    def gather(self, base: ir.Value, stride: ir.Value, mask: ir.Value) -> ir.Value:
        """Elements base[i·stride] of lanes i; lanes outside the mask are zero and read nothing."""
        size = self.splat(self.builder.mul(stride, index(self.itemsize)))
        addresses = self.builder.inttoptr(
            self.builder.add(self.splat(self.builder.ptrtoint(base, INDEX)), self.builder.mul(self._numbers, size)),
            ir.VectorType(self.type.element.as_pointer(), self.lanes),
        )
        return self.builder.call(self._gather, [addresses, ir.Constant(_LANE, self.itemsize), mask, self.zero])

    def expand(self, base: ir.Value, at: ir.Value, mask: ir.Value) -> ir.Value:
        """The run of elements from ``base[at]`` on in the mask's lanes, in order; the others are zero, and not read."""
        return self.builder.call(self._expand, [self.builder.gep(base, [at]), mask, self.zero])

    def compress(self, value: ir.Value, base: ir.Value, at: ir.Value, mask: ir.Value) -> None:
        """Write the mask's lanes of ``value``, in order, as a run of elements from ``base[at]`` on."""
        self.builder.call(self._compress, [value, self.builder.gep(base, [at]), mask])

    def store(self, value: ir.Value, base: ir.Value, at: ir.Value, mask: ir.Value | None = None) -> None:
        """Write ``value`` at ``base[at]``; lanes outside the mask write nothing."""
        address = self._address(base, at)
        if mask is None:
            self.builder.store(value, address, align=self.itemsize)
        else:
            self.builder.call(self._store, [value, address, ir.Constant(_LANE, self.itemsize), mask])

    def prefetch(self, address: ir.Value, *, level: int = 1, write: bool = False) -> None:
        """Ask for the cache line at a pointer, into L1 or L2, to read or to write it; any address will do."""
        byte = ir.IntType(8).as_pointer()
        fetch = self._declare("llvm.prefetch.p0", ir.VoidType(), [byte, _LANE, _LANE, _LANE])
        hints = [ir.Constant(_LANE, value) for value in (int(write), 4 - level, 1)]
        self.builder.call(fetch, [self.builder.bitcast(address, byte), *hints])

    def pick(self, first: ir.Value, second: ir.Value, lanes: Sequence[int]) -> ir.Value:
        """A vector of the named lanes of ``first`` (0 … L−1) and ``second`` (L … 2L−1)."""
        return self.builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_LANE, self.lanes), list(lanes)))
