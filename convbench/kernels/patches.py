"""Patch matrices: rows are (channel, tap), columns are output pixels, zero where a tap falls outside the image."""

from __future__ import annotations

from convbench.kernels.jit import njit


@njit
def copy_patch_row(x, image, channel, tap, stride, dilation, before, out_size, first, count, row):
    """row[i] = the pixel that ``tap`` reads at flattened output pixel first + i, 0 ≤ i < count; zero outside.

    x (N, C, D, H, W); tap, stride, dilation, before (leading padding) and out_size (O, P, Q) are triples.
    """
    _, _, depth, height, width = x.shape
    i = 0
    while i < count:
        line, q = divmod(first + i, out_size[2])
        o, p = divmod(line, out_size[1])
        run = min(count - i, out_size[2] - q)
        d = o * stride[0] + tap[0] * dilation[0] - before[0]
        h = p * stride[1] + tap[1] * dilation[1] - before[1]
        w = q * stride[2] + tap[2] * dilation[2] - before[2]
        if d < 0 or d >= depth or h < 0 or h >= height:
            row[i : i + run] = 0
        else:
            left = min(run, max(0, -(w // stride[2])))
            right = max(left, min(run, (width - 1 - w) // stride[2] + 1))
            row[i : i + left] = 0
            if stride[2] == 1:
                for j in range(left, right):
                    row[i + j] = x[image, channel, d, h, w + j]
            else:
                for j in range(left, right):
                    row[i + j] = x[image, channel, d, h, w + j * stride[2]]
            row[i + right : i + run] = 0
        i += run


@njit
def copy_patches(begin, end, x, image, channel, filter_size, stride, dilation, before, out_size, first, count, rows):
    """Rows ``begin`` ≤ (c, t, r, s) < ``end`` of the patch matrix of one group whose first channel is ``channel``."""
    for task in range(begin, end):
        rest, s = divmod(task, filter_size[2])
        rest, r = divmod(rest, filter_size[1])
        c, t = divmod(rest, filter_size[0])
        copy_patch_row(x, image, channel + c, (t, r, s), stride, dilation, before, out_size, first, count, rows[task])
