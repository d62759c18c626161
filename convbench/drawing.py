"""A Vega-Lite declaration as SVG and PNG, by vl-convert: in processes of their own where there are processors for them.

The converter keeps Python's lock while it works, so threads would not help. It stands outside ``convbench.report``
because a new process imports what it runs: this file and vl-convert, not pandas and Altair.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import vl_convert

from convbench.machine import processors

SCALE = 1.5  # pixels of a PNG for one of the SVG
MOST_PROCESSES = 4
VEGA = "https://vega.github.io/vega-datasets/"
"""What Vega puts before a link within the page."""

Declaration = dict[str, Any]


class Drawing(NamedTuple):
    svg: str
    png: bytes


def drawings(declarations: Iterable[Declaration], theme: Declaration) -> Iterator[Drawing]:
    """Each declaration drawn, in the order given."""
    processes = min(processors(), MOST_PROCESSES)
    if processes == 1:
        yield from (drawing(declaration, theme) for declaration in declarations)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = [pool.submit(drawing, declaration, theme) for declaration in declarations]
        yield from (drawn.result() for drawn in waiting)


def drawing(declaration: Declaration, theme: Declaration) -> Drawing:
    drawn = svg(declaration, theme)
    return Drawing(drawn, png(drawn))


def svg(declaration: Declaration, theme: Declaration) -> str:
    """SVG text. Nothing is fetched: data and theme are in the declaration."""
    return vl_convert.vegalite_to_svg(declaration, config=theme, allowed_base_urls=[]).replace(f"{VEGA}#", "#")


def png(drawn: str) -> bytes:
    """The SVG text of a chart as a PNG of ``SCALE`` times its size in pixels."""
    return _deflated(vl_convert.svg_to_png(drawn, scale=SCALE))


def _deflated(image: bytes) -> bytes:
    """The same PNG, its pixels compressed again: the renderer's fast setting leaves flat charts far larger."""
    kept, pixels, at = [], b"", 8
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        kind, body = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            pixels += body
        else:
            kept.append((kind, body))
    kept.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(pixels), 6)))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in kept
    )
    return image[:8] + b"".join(chunks)
