"""A strip's pixels in vectors: where each begins, and the lines of y it is stored to."""

from __future__ import annotations

from convbench.kernels.jit import njit


@njit
def vector_count(rows, cols, pitch, lanes):
    """Vectors of pixels of rows ``pitch`` apart: each row's own, unless fewer run on from row to row."""
    return min(rows * -(-cols // lanes), -(-((rows - 1) * pitch + cols) // lanes))


@njit
def strip_lines(rows, cols, strip, y_row, lanes, starts, lines, masks, places):
    """A strip's vectors of pixels, and the lines in which ``kernels/pixel_tiles.py`` stores them; gives their number.

    y rows lie ``y_row`` apart; rows × cols is the strip's part of the output.
    """
    pitch = strip.pitch
    vectors = vector_count(rows, cols, pitch, lanes)
    own = -(-cols // lanes)  # vectors of a row
    by_row = vectors == rows * own
    line = row = 0
    for v in range(vectors):
        lines[v] = line
        if by_row:
            row = v // own
        first = row * pitch + v % own * lanes if by_row else v * lanes
        starts[v] = first
        while True:
            begin = row * pitch - first
            low, high = max(0, begin), min(lanes, begin + cols)
            if low < high:
                masks[line] = (1 << high) - (1 << low)
                places[line] = first - row * (pitch - y_row)
                line += 1
            if by_row or row == rows - 1 or begin + pitch > lanes:
                break
            row += 1
            if begin + pitch == lanes:
                break
        if line == lines[v]:  # a vector between two rows: nothing to store
            masks[line] = 0
            places[line] = 0
            line += 1
    lines[vectors] = line
    return vectors
