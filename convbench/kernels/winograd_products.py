"""The matrix products of Winograd's sums over channels: few rows against filters that stream through the cache once.

Contract::

    M[t, n] = Σ_{c < depth} V[c, t] · U[c, n]          0 ≤ t < padded(rows), 0 ≤ n < NR

    V[c, t] = v[v_start + c·v_step + t]     tiles, unit stride over t; all padded(rows) of them are read
    U[c, n] = u[u_start + c·NR + n]         one panel of NR output channels
    M[t, n] = m[m_start + t·NR + n]

    v, u, m  flat arrays of one dtype; next  where in u the panel starts that the next call will read

``brgemm``'s register tiles with two changes that small T asks for: rows are shared evenly among register tiles, so that
no tile of one or two rows pays for reading U; and the next panel is fetched into L2 at the pace of the products, since
a panel is read from memory once for ``rows`` rows and would otherwise arrive faster than the last cache delivers.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import TILE_ROWS, VECTOR_BYTES, VECTORS
from convbench.kernels.jit import njit
from convbench.kernels.simd import INDEX, Vectors, index, pointer

PAIR = 2  # heights of register tiles are multiples of it


@njit
def height(rows):
    """Rows of the next register tile when ``rows`` are left: an equal share, rounded up to a multiple of PAIR."""
    share = -(-rows // -(-rows // TILE_ROWS))
    return share + share % PAIR


@njit
def padded(rows):
    """Rows that the register tiles of ``rows`` rows cover."""
    return rows + rows % PAIR


@intrinsic(prefer_literal=True)
def _tile(typingctx, rows, depth, v, v_start, v_step, u, u_start, m, m_start, ahead, pace):
    """One register tile of ``rows`` (a literal) × NR; fetches u[ahead + c·pace] into L2 for every c."""
    count = rows.literal_value
    signature = types.void(rows, depth, v, v_start, v_step, u, u_start, m, m_start, ahead, pace)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, v.dtype)
        lanes = vectors.lanes
        _, depth_, _, _, v_step_, _, _, _, _, _, pace_ = args
        starts = [pointer(context, builder, sig.args[i], args[i], args[j]) for i, j in ((2, 3), (5, 6), (5, 9))]
        steps = [v_step_, index(VECTORS * lanes), pace_]
        zero = ir.Constant(vectors.type, [0.0] * lanes)

        entry, loop = builder.block, builder.append_basic_block("channels")
        finish = builder.append_basic_block("finish")
        builder.branch(loop)
        builder.position_at_end(loop)
        left = builder.phi(INDEX)
        rows_of = [builder.phi(start.type) for start in starts]
        sums = [builder.phi(vectors.type) for _ in range(count * VECTORS)]
        tiles, filters, fetched = rows_of
        vectors.prefetch(fetched, level=2)
        panel = [vectors.load(filters, index(n * lanes)) for n in range(VECTORS)]
        updated = []
        for t in range(count):  # one broadcast beside its products: all of them first would spill accumulators
            tile = vectors.splat(builder.load(builder.gep(tiles, [index(t)])))
            updated += [vectors.fma(tile, panel[n], sums[t * VECTORS + n]) for n in range(VECTORS)]
        rest = builder.sub(left, index(1))
        left.add_incoming(depth_, entry)
        left.add_incoming(rest, loop)
        for phi, start, step in zip(rows_of, starts, steps, strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(builder.gep(phi, [step]), loop)
        for phi, value in zip(sums, updated, strict=True):
            phi.add_incoming(zero, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed(">", rest, index(0)), loop, finish)

        builder.position_at_end(finish)
        target = pointer(context, builder, sig.args[7], args[7], args[8])
        for i, value in enumerate(updated):
            vectors.store(value, target, index(i * lanes))
        return context.get_dummy_value()

    return signature, codegen


@njit
def multiply_panel(rows, depth, v, v_start, v_step, u, u_start, m, m_start, following):
    """The contract above; ``following`` is its ``next``."""
    width = VECTORS * (VECTOR_BYTES // v.itemsize)
    passes = -(-rows // TILE_ROWS)
    pace = -(-width // passes)
    t = 0
    while t < rows:
        ahead = following
        following += depth * pace
        count = height(rows - t)
        if count == 2:
            _tile(2, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        elif count == 4:
            _tile(4, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        elif count == 6:
            _tile(6, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        elif count == 8:
            _tile(8, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        elif count == 10:
            _tile(10, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        elif count == 12:
            _tile(12, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        else:
            _tile(14, depth, v, v_start + t, v_step, u, u_start, m, m_start + t * width, ahead, pace)
        t += count
