"""Passes over a complex tile with pixels in the lanes: along its columns, and along its rows through a transpose.

t[at …], t[at + plane …]    real and imaginary parts, rows ``pitch`` apart
z[j, c, re | im]            blocks of L rows at column j, one for each channel c
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from convbench.kernels.fft import forward, frequencies, inverse, lanes, roots, strip, transpose
from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.simd import VECTOR_BYTES, Vectors, pointer
from convbench.kernels.spectra import turn


def turns(rows: int, cols: int, dtype: str) -> np.ndarray:
    """Flat (row group, j, re | im, L): e^{−2πi·j·k(s)/(rows·cols)} for column j and the row at position s."""
    width = lanes(dtype)
    w = roots(rows * cols, np.outer(frequencies(rows), np.arange(cols))).reshape(-1, width, cols).transpose(0, 2, 1)
    table = aligned_empty((w.size * 2,), np.dtype(dtype))
    table.reshape(*w.shape[:2], 2, width)[...] = np.stack([w.real, w.imag], axis=2)
    return table


@intrinsic(prefer_literal=True)
def fetch(typingctx, array, start, step, write):
    """Ask for the lines of array[start + i·step], i < L, wherever they lie; write: the literal 1 if to write them."""
    signature = types.void(array, start, step, write)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, array.dtype)
        address = pointer(context, builder, sig.args[0], args[0], args[1])
        for _ in range(vectors.lanes):
            vectors.prefetch(address, level=1 if write.literal_value else 2, write=bool(write.literal_value))
            address = builder.gep(address, [args[2]])
        return context.get_dummy_value()

    return signature, codegen


@njit
def forward_rows(t, at, apart, plane, pitch, group, z, channels, cols, w_cols, twist, points, soon):
    """Row group ``group`` of the tiles at t[at + c·apart] to blocks z[j, c], transformed along the row.

    points: 1, or those of the leaves that are left to be transformed (``kernels/fft.py``).
    """
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    step = channels * pair
    array, first, second, down = soon[0], soon[1] + group * width * soon[3], soon[2] + group * width * soon[3], soon[3]
    for c in range(channels):
        source = at + c * apart + group * width * pitch
        for j in range(0, cols, width):
            transpose(t, source + j, pitch, z, j * step + c * pair, step)
            fetch(array, first + j, down, 0)
            transpose(t, source + plane + j, pitch, z, j * step + c * pair + width, step)
            fetch(array, second + j, down, 0)
        if twist.size:
            for j in range(cols):
                turn(z, j * step + c * pair, twist, (group * cols + j) * pair, 0)
    together = strip(cols)
    for c in range(0, channels, together):
        forward(z, c * pair, c * pair + width, cols, step, min(together, channels - c), pair, w_cols, points)


@njit
def inverse_rows(t, at, apart, plane, pitch, group, z, channels, cols, w_cols, twist, points, soon):
    """Undo ``forward_rows``, cols times too large."""
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    step = channels * pair
    together = strip(cols)
    for c in range(0, channels, together):
        inverse(z, c * pair, c * pair + width, cols, step, min(together, channels - c), pair, w_cols, points)
    array, first, second, down = soon[0], soon[1] + group * width * soon[3], soon[2] + group * width * soon[3], soon[3]
    for c in range(channels):
        target = at + c * apart + group * width * pitch
        if twist.size:
            for j in range(cols):
                turn(z, j * step + c * pair, twist, (group * cols + j) * pair, 1)
        for j in range(0, cols, width):
            transpose(z, j * step + c * pair, step, t, target + j, pitch)
            fetch(array, first + j, down, 1)
            transpose(z, j * step + c * pair + width, step, t, target + plane + j, pitch)
            fetch(array, second + j, down, 1)


@njit
def forward_columns(t, at, plane, pitch, rows, vectors, w_rows):
    """Transform the columns of the first ``vectors`` vectors of the rows from ``at`` on."""
    width = VECTOR_BYTES // t.itemsize
    together = strip(rows)
    for v in range(0, vectors, together):
        start = at + v * width
        forward(t, start, start + plane, rows, pitch, min(together, vectors - v), width, w_rows, np.int64(1))


@njit
def inverse_columns(t, at, plane, pitch, rows, vectors, w_rows):
    """Undo ``forward_columns``, rows times too large."""
    width = VECTOR_BYTES // t.itemsize
    together = strip(rows)
    for v in range(0, vectors, together):
        start = at + v * width
        inverse(t, start, start + plane, rows, pitch, min(together, vectors - v), width, w_rows, np.int64(1))
