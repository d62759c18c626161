"""brgemm: the batch-reduce matrix product that carries every GEMM-shaped algorithm.

Contract (written before the code; the body may change, this may not)::

    C[m, n] (+)= Σ_{b < batch} Σ_{k < depth} A[b, k, m] · B[b, k, n]        0 ≤ m < rows, 0 ≤ n < NR

    A[b, k, m] = a[a_start + a_off[b] + k·a_step + m]    broadcast operand: pixels or tiles, unit stride over m
    B[b, k, n] = b[b_start + b_off[b] + k·NR + n]        packed panel of NR output channels (``packing.pack_panels``)
    C[m, n]    = c[c_start + m·c_step + n]               full NR lanes are written, so c holds NR from every row start

    a, b, c     flat arrays of one dtype, float32 or float64;  a_off, b_off  int64 (batch,)
    accumulate  False: C is written without being read;  True: the sum is added to C
    rows, depth, batch ≥ 1, any values: exactly ``rows`` elements of A are read for each (b, k), never more.

NR = two vectors of the host's width (:func:`panel_width`). Accumulators stay in registers over the whole batch.
The product follows Georganas et al., "High-Performance Deep Learning via a Single Building Block" (IPDPS 2020), §2.
"""

from __future__ import annotations

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import chosen_vector_bytes, njit

VECTORS = 2  # vectors of output channels a tile


def _vector_bytes() -> int:
    """The host's widest vectors, or what ``CONVBENCH_VECTOR_BYTES`` asks for: one machine can try all widths."""
    features = binding.get_host_cpu_features()
    widest = 64 if features.get("avx512f") else 32 if features.get("avx") else 16
    chosen = chosen_vector_bytes() or widest
    if chosen > widest:
        raise ValueError(f"CONVBENCH_VECTOR_BYTES={chosen}, but this host's vectors have {widest} bytes")
    return chosen


VECTOR_BYTES = _vector_bytes()
TILE_ROWS = 14 if VECTOR_BYTES == 64 else 6  # 14·2 accumulators fill 32 registers, 6·2 fill 16


def panel_width(dtype: np.dtype | type) -> int:
    """NR, the output channels of one packed panel: two vectors of the host's width."""
    return VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


@intrinsic(prefer_literal=True)
def _tile(typingctx, rows, depth, batch, a, a_start, a_off, a_step, b, b_start, b_off, c, c_start, c_step, add):
    """One register tile of ``rows`` (a literal) × NR of the contract, as LLVM vector code."""
    height = rows.literal_value
    signature = types.void(rows, depth, batch, a, a_start, a_off, a_step, b, b_start, b_off, c, c_start, c_step, add)

    def codegen(context, builder, sig, args):
        element = context.get_data_type(a.dtype)
        lanes = VECTOR_BYTES // (a.dtype.bitwidth // 8)
        vector = ir.VectorType(element, lanes)
        int_ = ir.IntType(64)
        name = f"llvm.fma.v{lanes}f{a.dtype.bitwidth}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        lane_zero = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        undefined = ir.Constant(vector, ir.Undefined)
        zero, one = ir.Constant(int_, 0), ir.Constant(int_, 1)

        def data(position):
            array = sig.args[position]
            return context.make_array(array)(context, builder, args[position]).data

        def load_vector(pointer, index):
            value = builder.load(builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer()))
            value.align = element_bytes
            return value

        def splat(value):
            return builder.shuffle_vector(
                builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0)), undefined, lane_zero
            )

        element_bytes = a.dtype.bitwidth // 8
        depth_, batch_, a_start_, a_step_ = args[1], args[2], args[4], args[6]
        b_start_, c_start_, c_step_ = args[8], args[11], args[12]
        a_data = builder.gep(data(3), [a_start_])
        b_data = builder.gep(data(7), [b_start_])
        a_off_, b_off_ = data(5), data(9)
        tiles = [(m, v) for m in range(height) for v in range(VECTORS)]

        entry = builder.block
        batch_loop = builder.append_basic_block("batch")
        depth_loop = builder.append_basic_block("depth")
        batch_next = builder.append_basic_block("batch.next")
        finish = builder.append_basic_block("finish")
        builder.branch(batch_loop)

        builder.position_at_end(batch_loop)
        i = builder.phi(int_)
        i.add_incoming(zero, entry)
        outer = [builder.phi(vector) for _ in tiles]
        for phi in outer:
            phi.add_incoming(ir.Constant(vector, [0.0] * lanes), entry)
        a_batch = builder.gep(a_data, [builder.load(builder.gep(a_off_, [i]))])
        b_batch = builder.gep(b_data, [builder.load(builder.gep(b_off_, [i]))])
        builder.branch(depth_loop)

        builder.position_at_end(depth_loop)
        k = builder.phi(int_)
        k.add_incoming(zero, batch_loop)
        a_row = builder.phi(a_batch.type)
        a_row.add_incoming(a_batch, batch_loop)
        b_row = builder.phi(b_batch.type)
        b_row.add_incoming(b_batch, batch_loop)
        sums = [builder.phi(vector) for _ in tiles]
        for phi, start in zip(sums, outer, strict=True):
            phi.add_incoming(start, batch_loop)
        weights = [load_vector(b_row, ir.Constant(int_, v * lanes)) for v in range(VECTORS)]
        updated = []
        for m in range(height):  # one broadcast beside its products: all of them first would spill accumulators
            pixel = splat(builder.load(builder.gep(a_row, [ir.Constant(int_, m)])))
            updated += [builder.call(fma, [pixel, weights[v], sums[m * VECTORS + v]]) for v in range(VECTORS)]
        k_next = builder.add(k, one)
        k.add_incoming(k_next, depth_loop)
        a_row.add_incoming(builder.gep(a_row, [a_step_]), depth_loop)
        b_row.add_incoming(builder.gep(b_row, [ir.Constant(int_, VECTORS * lanes)]), depth_loop)
        for phi, value in zip(sums, updated, strict=True):
            phi.add_incoming(value, depth_loop)
        builder.cbranch(builder.icmp_signed("<", k_next, depth_), depth_loop, batch_next)

        builder.position_at_end(batch_next)
        i_next = builder.add(i, one)
        i.add_incoming(i_next, batch_next)
        for phi, value in zip(outer, updated, strict=True):
            phi.add_incoming(value, batch_next)
        builder.cbranch(builder.icmp_signed("<", i_next, batch_), batch_loop, finish)

        builder.position_at_end(finish)
        c_row = builder.gep(data(10), [c_start_])
        with builder.if_else(cgutils.is_not_null(builder, args[13])) as (accumulate, overwrite):
            for block, reads in ((accumulate, True), (overwrite, False)):
                with block:
                    for (m, v), value in zip(tiles, updated, strict=True):
                        index = builder.add(builder.mul(c_step_, ir.Constant(int_, m)), ir.Constant(int_, v * lanes))
                        total = builder.fadd(load_vector(c_row, index), value) if reads else value
                        target = builder.bitcast(builder.gep(c_row, [index]), vector.as_pointer())
                        builder.store(total, target, align=element_bytes)
        return context.get_dummy_value()

    return signature, codegen


@njit
def brgemm(rows, depth, batch, a, a_start, a_off, a_step, b, b_start, b_off, c, c_start, c_step, accumulate):
    """The contract above: full tiles of ``TILE_ROWS`` rows, then tiles of 4, then single rows."""
    m = 0
    while rows - m >= TILE_ROWS:
        _tile(
            TILE_ROWS,
            depth,
            batch,
            a,
            a_start + m,
            a_off,
            a_step,
            b,
            b_start,
            b_off,
            c,
            c_start + m * c_step,
            c_step,
            accumulate,
        )
        m += TILE_ROWS
    while rows - m >= 4:
        _tile(
            4,
            depth,
            batch,
            a,
            a_start + m,
            a_off,
            a_step,
            b,
            b_start,
            b_off,
            c,
            c_start + m * c_step,
            c_step,
            accumulate,
        )
        m += 4
    while m < rows:
        _tile(
            1,
            depth,
            batch,
            a,
            a_start + m,
            a_off,
            a_step,
            b,
            b_start,
            b_off,
            c,
            c_start + m * c_step,
            c_step,
            accumulate,
        )
        m += 1
