"""Depthwise problems as ``kernels/image_stencil.py`` takes them: sizes, bands of rows, the place of every pixel copied.

With p = a + A·i, A = dilation / g, B = stride / g, g = gcd(stride, dilation), the rows of taps r and r + B are one
output row apart (``kernels/lattice.py`` has the proof): the n-th row of pixels under a tile is the image's row
h₀ + n·dilation, and rows B apart are neighbours in scratch. Column u·stride + f of the image is element u of phase f.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

import numpy as np

from convbench.kernels.layout import round_up
from convbench.kernels.stencil import ROWS, SHORT, WIDTH, Chains, chains, lanes_of
from convbench.kernels.window import share
from convbench.spec import ConvSpec

BAND_BYTES = 12 * 1024  # of pixels under a band: two bands and their outputs fit L1


class Geometry(NamedTuple):
    """What the kernel knows of a lifted (3-D) depthwise problem, as one int64 array in this order; in elements."""

    multiplier: int  # K / C
    outputs: int  # K
    x_plane: int  # one channel of x
    y_plane: int
    W: int
    stride: int  # of columns
    left: int  # elements of a phase before the first output's own
    joined: int  # output rows in one vector, 1 or 2
    pitch: int  # of rows copied
    x_step: int  # from one row of a tile to the next
    y_step: int
    slices: int  # T
    B: int
    each: int  # rows copied of those B apart, in one slice of the filter
    row_step: int  # of x, from one row copied to the next
    bands: int  # of one output channel
    size: int  # what one band reads
    rows: int  # output rows of a band
    cols: int

    @property
    def phase(self) -> int:
        """Elements from one phase to the next."""
        return self.slices * self.B * self.each * self.pitch

    def place(self, t: int, n: int, f: int) -> int:
        """Where row n of slice t begins in phase f."""
        return f * self.phase + ((t * self.B + n % self.B) * self.each + n // self.B) * self.pitch


@lru_cache(maxsize=256)
def geometry(spec: ConvSpec) -> Geometry:
    """A lifted problem's numbers."""
    (T, R, S), (_, dh, dw), (_, sh, sw) = spec.filter, spec.dilation, spec.stride
    (O, P, Q), W, lanes = spec.output_spatial, spec.spatial[2], lanes_of(spec.np_dtype)
    A, B = dh // gcd(sh, dh), sh // gcd(sh, dh)
    before, reach = spec.padding[2][0], (S - 1) * dw
    left, beyond, held = -(-before // sw), max(0, (reach - before) // sw), -(-W // sw)
    pitch, joined, cols = left + held, 1, Q
    if A == 1 and P > 1 and Q + beyond - W // sw <= left and pitch + Q <= lanes:
        joined = 2
    else:
        table = T * ((ROWS - 1) * B + R)
        most = BAND_BYTES // spec.itemsize // (table * sw) - left - beyond
        cols = share(Q, max(most, 2 * reach // sw, 2 * WIDTH * lanes), WIDTH * lanes)
        pitch = round_up(left + cols + beyond, lanes)
    tile = SHORT * joined if joined > 1 else ROWS
    held = BAND_BYTES // spec.itemsize // (T * sw * pitch)
    rows = round_up(min(-(-P // A), max(tile, (held - R) // B + 1)), tile)
    each = -(-((rows - 1) * B + R) // B)
    bands = O * sum(-(-len(range(a, P, A)) // rows) for a in range(min(A, P))) * -(-Q // cols)
    g = Geometry(
        multiplier=spec.K // spec.C, outputs=spec.K, x_plane=prod(spec.spatial), y_plane=O * P * Q, W=W, stride=sw,
        left=left, joined=joined, pitch=pitch, x_step=joined * pitch, y_step=A * Q, slices=T, B=B, each=each,
        row_step=dh * W, bands=bands, size=0, rows=rows, cols=cols,
    )  # fmt: skip
    return g._replace(size=round_up(sw * g.phase + left + beyond + (WIDTH + 1) * lanes, lanes))


@lru_cache(maxsize=64)
def bands(spec: ConvSpec) -> np.ndarray:
    """(bands, 4 + 4·T·B) int64 of a lifted problem: every band of one output channel.

    (start in the output channel, rows, first column of y, columns; then for each slice of the filter and each b < B,
    of the rows of pixels b, b + B, …: the start of the first that lies in the image, and how many lie above the image,
    inside and below).
    """
    (D, H, W), (O, P, Q), (T, R, _) = spec.spatial, spec.output_spatial, spec.filter
    (sd, sh, _), (dd, dh, _), (before_d, before_h, _) = spec.stride, spec.dilation, (b for b, _ in spec.padding)
    A, B = dh // gcd(sh, dh), sh // gcd(sh, dh)
    g = geometry(spec)
    cols = g.cols
    p = np.concatenate([np.arange(a, P, A * g.rows) for a in range(min(A, P))])
    q = np.arange(0, Q, cols)
    rows = np.minimum(g.rows, -(-(P - p) // A))
    found = np.empty((O, len(p), len(q), 4 + 4 * T * B), np.int64)
    for o in range(O):
        found[o, ..., 0] = (o * P + p[:, None]) * Q + q
        found[o, ..., 1], found[o, ..., 2], found[o, ..., 3] = rows[:, None], q, np.minimum(cols, Q - q)
        for t in range(T):
            d = o * sd + t * dd - before_d
            for b in range(B):
                count = -(-((rows - 1) * B + R - b) // B)
                h = p * sh - before_h + b * dh
                above = np.clip(-(h // (B * dh)), 0, count)
                end = np.clip(-((h - H) // (B * dh)), above, count) if 0 <= d < D else above
                parts = (d * H + h + above * B * dh) * W, above, end - above, count - end
                at = 4 + 4 * (t * B + b)
                found[o, ..., at : at + 4] = np.stack(parts, axis=-1)[:, None]
    return found.reshape(-1, 4 + 4 * T * B)


@lru_cache(maxsize=256)
def band_chains(spec: ConvSpec) -> Chains:
    """The taps of a lifted problem's whole filter, in row-major order, as chains in what is copied."""
    (T, R, S), dilation, g = spec.filter, spec.dilation[2], geometry(spec)
    columns = [s * dilation - spec.padding[2][0] for s in range(S)]
    offsets = [
        g.place(t, r, column % g.stride) + column // g.stride + g.left
        for t in range(T) for r in range(R) for column in columns
    ]  # fmt: skip
    return chains(offsets, g.x_step)
