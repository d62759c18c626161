"""Patch matrices: rows are (channel, tap), columns are output pixels, zero where a tap falls outside the image."""

from __future__ import annotations

from convbench.kernels.jit import njit
from convbench.kernels.lines import clear_line, copy_line


@njit
def copy_patch_row(x, image, channel, tap, stride, dilation, before, out_size, first, count, target, at):
    """target[at + i] = the pixel that ``tap`` reads at flattened output pixel first + i, 0 ≤ i < count; zero outside.

    x (N, C, D, H, W); tap, stride, dilation, before (leading padding) and out_size (O, P, Q) are triples; target flat.
    """
    _, channels, depth, height, width = x.shape
    source = x.reshape(x.size)
    end = at + count
    line, q = divmod(first, out_size[2])
    o, p = divmod(line, out_size[1])
    while at < end:
        run = min(end - at, out_size[2] - q)
        d = o * stride[0] + tap[0] * dilation[0] - before[0]
        h = p * stride[1] + tap[1] * dilation[1] - before[1]
        w = q * stride[2] + tap[2] * dilation[2] - before[2]
        if d < 0 or d >= depth or h < 0 or h >= height:
            clear_line(target, at, run)
        else:
            left = 0 if w >= 0 else min(run, -(w // stride[2]))
            right = run
            if w + (run - 1) * stride[2] >= width:
                right = max(left, min(run, (width - 1 - w) // stride[2] + 1))
            start = (((image * channels + channel) * depth + d) * height + h) * width + w + left * stride[2]
            clear_line(target, at, left)
            copy_line(target, at + left, source, start, stride[2], right - left)
            clear_line(target, at + right, run - right)
        at += run
        q = 0
        p += 1
        if p == out_size[1]:
            p = 0
            o += 1


@njit
def copy_patches(begin, end, x, image, channel, filter_size, stride, dilation, before, out_size, first, count, target):
    """Rows ``begin`` ≤ (c, t, r, s) < ``end`` of the patch matrix of one group whose first channel is ``channel``."""
    for task in range(begin, end):
        rest, s = divmod(task, filter_size[2])
        rest, r = divmod(rest, filter_size[1])
        c, t = divmod(rest, filter_size[0])
        copy_patch_row(
            x, image, channel + c, (t, r, s), stride, dilation, before, out_size, first, count, target, task * count
        )
