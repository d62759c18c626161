"""The forms of ``fft_tiled``: which tiles each of them may take, what these hold in memory, and what they cost.

The kernels of a form are a module of functions that all forms share (``units``, ``parts``, ``prepare``), with
``convolve`` where a thread takes tiles through all phases by itself (``Form.apart``), and with ``transform``,
``multiply`` and ``invert`` where the threads share each phase of a block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import log2
from types import ModuleType

from convbench.algorithms.fft import transform_error
from convbench.kernels import fft_columns, fft_lanes, fft_planes
from convbench.kernels.fft import lanes
from convbench.kernels.lattice import Lattice
from convbench.kernels.layout import scratch_bytes
from convbench.kernels.overlap_save import Tiling
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

SIZES = (8, 16, 32, 64, 128, 256, 512)


class Form(ABC):
    """One way to lay out tiles. ``kernels``: its functions; ``units`` are what its blocks and threads are given."""

    name: str
    kernels: ModuleType
    fft_efficiency: float  # of peak at 5·n·log₂ n flop a complex transform

    @abstractmethod
    def tilings(self, spec: ConvSpec) -> Iterator[Tiling]:
        """Every tile that holds the filter."""

    @abstractmethod
    def filter_bytes(self, spec: ConvSpec, tiling: Tiling) -> int:
        """Of the filters' spectra."""

    @abstractmethod
    def block(self, spec: ConvSpec, threads: int, tiling: Tiling, limit: int | None) -> int:
        """Units that scratch holds at once; at least one, whatever the limit."""

    @abstractmethod
    def apart(self, tiling: Tiling, block: int, threads: int) -> bool:
        """Whether each thread takes units through all phases by itself."""

    @abstractmethod
    def flop(self, spec: ConvSpec, tiling: Tiling) -> tuple[float, float]:
        """(transforms at 5·n·log₂ n each, complex products at 8) of whole vectors."""

    @abstractmethod
    def cost(self, spec: ConvSpec, threads: int, tiling: Tiling, block: int, machine: Machine) -> float:
        """Transforms and products at their share of peak; filters, spectra, operands at the machine's bandwidths."""

    def error(self, spec: ConvSpec, tiling: Tiling) -> float:
        return transform_error(spec, tiling.rows * tiling.cols, tiling.channels)

    def blocks(self, tiling: Tiling, block: int) -> int:
        return -(-int(self.kernels.units(tiling)) // block)


class Square(Form):
    """Tiles that are transformed along both dimensions, or lines of one."""

    largest: int  # rows or columns of a tile
    longest: int  # 1-D tile
    block_bytes: int  # scratch of one block
    row_seconds: float  # to read or write one row of a tile, beyond its bytes

    @abstractmethod
    def lines(self, width: int) -> Iterator[tuple[int, int]]:
        """(rows, columns) that hold a line, by their length."""

    @abstractmethod
    def least(self, width: int) -> int:
        """Rows and columns of a two-dimensional tile."""

    @abstractmethod
    def outputs(self, spec: ConvSpec, tiling: Tiling) -> int:
        """Channels that are computed."""

    def tilings(self, spec: ConvSpec) -> Iterator[Tiling]:
        lifted, width = lift(spec, 3), lanes(spec.dtype)
        _, R, S = Lattice.of(lifted).taps
        if R == 1:
            yield from (Tiling.of(lifted, *of, of[0] > 1) for of in self.lines(width) if of[0] * of[1] >= S)
        for rows in SIZES:
            for cols in SIZES:
                fits = R <= rows <= self.largest and S <= cols <= self.largest
                if fits and min(rows, cols) >= self.least(width):
                    yield Tiling.of(lifted, rows, cols, False)

    def block(self, spec: ConvSpec, threads: int, tiling: Tiling, limit: int | None) -> int:
        """One unit a thread that works apart; else all, or as many as block_bytes and the limit allow, evenly."""
        units = max(1, self.kernels.units(tiling))
        one, two = (scratch_bytes(self.kernels.parts(tiling, n, threads, spec.np_dtype)) for n in (1, 2))
        room = max(self.block_bytes, one)
        room = room if limit is None else min(room, limit)
        most = max(1, min(units, 1 + (room - one) // (two - one)))
        if self.apart(tiling, threads, threads) and (limit is None or threads <= most):
            return threads
        return -(-units // -(-units // most))

    def flop(self, spec: ConvSpec, tiling: Tiling) -> tuple[float, float]:
        n, inputs, outputs = tiling.rows * tiling.cols, tiling.G * tiling.channels, self.outputs(spec, tiling)
        return 5.0 * n * log2(n) * tiling.pairs * (inputs + outputs), 8.0 * n * tiling.pairs * tiling.channels * outputs

    def cost(self, spec: ConvSpec, threads: int, tiling: Tiling, block: int, machine: Machine) -> float:
        transforms, _ = self.flop(spec, tiling)
        rows = tiling.tiles * tiling.rows * (tiling.G * tiling.channels + spec.K)
        calls = 3 if self.apart(tiling, block, threads) else 3 * self.blocks(tiling, block)
        return (
            machine.flop_time(transforms, spec, threads, self.fft_efficiency)
            + rows * self.row_seconds / threads
            + self.products(spec, threads, tiling, block, machine)
            + calls * machine.call_overhead
            + machine.byte_time(spec.min_bytes, threads)
        )

    @abstractmethod
    def products(self, spec: ConvSpec, threads: int, tiling: Tiling, block: int, machine: Machine) -> float:
        """Seconds of the products, with the way of spectra and filters to them."""


class Lanes(Square):
    name = "lanes"
    kernels = fft_lanes
    fft_efficiency = 0.2
    largest = 64
    longest = 4096
    block_bytes = 1 << 24  # the last-level cache's share
    row_seconds = 5e-9
    row_efficiency = ((14, 0.75), (4, 0.45), (1, 0.2))  # brgemm's register tiles: rows, share of peak

    def lines(self, width: int) -> Iterator[tuple[int, int]]:
        length = max(width, 8)
        while length <= self.longest:
            yield 1, length
            length *= 2

    def least(self, width: int) -> int:
        return SIZES[0]

    def outputs(self, spec: ConvSpec, tiling: Tiling) -> int:
        """Of whole panels."""
        width = lanes(spec.dtype)
        return tiling.G * fft_lanes.panels(tiling, width) * width

    def filter_bytes(self, spec: ConvSpec, tiling: Tiling) -> int:
        """Half the frequencies, in two panels."""
        return tiling.rows * tiling.cols * self.outputs(spec, tiling) * tiling.channels * 2 * spec.itemsize

    def apart(self, tiling: Tiling, block: int, threads: int) -> bool:
        return False

    def products(self, spec: ConvSpec, threads: int, tiling: Tiling, block: int, machine: Machine) -> float:
        channels = tiling.G * tiling.channels + self.outputs(spec, tiling)
        spectra = block * tiling.rows * tiling.cols * 2 * spec.itemsize * channels
        left, share = block, 0.0
        for height, efficiency in self.row_efficiency:
            share += left // height * height / efficiency
            left %= height
        moved = machine.byte_time(self.filter_bytes(spec, tiling) + 2 * spectra, threads)
        _, products = self.flop(spec, tiling)
        return machine.flop_time(products, spec, threads, block / share) + self.blocks(tiling, block) * moved


class Planes(Square):
    name = "planes"
    kernels = fft_planes
    fft_efficiency = 0.5
    largest = 512
    longest = 1 << 20
    block_bytes = 1 << 20  # half of L2
    row_seconds = 1e-8
    product_efficiency = 0.25

    def lines(self, width: int) -> Iterator[tuple[int, int]]:
        """As square as they can be."""
        length = max(width * width, 64)
        while length <= self.longest:
            half = 1 << (length.bit_length() - 1) // 2
            yield length // half, half
            length *= 2

    def least(self, width: int) -> int:
        return width

    def outputs(self, spec: ConvSpec, tiling: Tiling) -> int:
        return tiling.K

    def filter_bytes(self, spec: ConvSpec, tiling: Tiling) -> int:
        """All frequencies, once."""
        return tiling.rows * tiling.cols * tiling.K * tiling.channels * 2 * spec.itemsize

    def apart(self, tiling: Tiling, block: int, threads: int) -> bool:
        return fft_planes.apart(tiling, block, threads)

    def products(self, spec: ConvSpec, threads: int, tiling: Tiling, block: int, machine: Machine) -> float:
        """The filters once a pair of tiles; tiles from L2 if they stay there."""
        tile = 2 * tiling.rows * (tiling.cols + lanes(spec.dtype)) * spec.itemsize
        rate = machine.l2_bandwidth if 2 * tile <= machine.l2_bytes else machine.bandwidth
        moved = tile * (tiling.G * tiling.channels + spec.K) / (rate * threads)
        read = machine.byte_time(self.filter_bytes(spec, tiling), threads)
        _, products = self.flop(spec, tiling)
        return machine.flop_time(products, spec, threads, self.product_efficiency) + tiling.pairs * (read + moved)


class Columns(Form):
    name = "columns"
    kernels = fft_columns
    fft_efficiency = 0.33
    sum_efficiency = 0.95  # of sums along a row
    early = 0.3  # of the time a copy takes: what lines asked for while rows are summed take to move

    def tilings(self, spec: ConvSpec) -> Iterator[Tiling]:
        return fft_columns.tilings(lift(spec, 3), lanes(spec.dtype))

    def filter_bytes(self, spec: ConvSpec, tiling: Tiling) -> int:
        return tiling.rows * fft_columns.taps(tiling) * tiling.K * 2 * spec.itemsize

    def block(self, spec: ConvSpec, threads: int, tiling: Tiling, limit: int | None) -> int:
        return threads

    def apart(self, tiling: Tiling, block: int, threads: int) -> bool:
        return True

    def flop(self, spec: ConvSpec, tiling: Tiling) -> tuple[float, float]:
        width = lanes(spec.dtype)
        read, summed = (vectors * width * tiling.rows for vectors in fft_columns.vectors(tiling, width))
        units, taps = fft_columns.units(tiling), fft_columns.taps(tiling)
        return 5.0 * log2(tiling.rows) * units * (read + summed), 8.0 * units * summed * taps

    def cost(self, spec: ConvSpec, threads: int, tiling: Tiling, block: int, machine: Machine) -> float:
        """Threads take whole units; a sum has the work of two more taps, one of a single vector twice its own."""
        transforms, products = self.flop(spec, tiling)
        width, taps, units = lanes(spec.dtype), fft_columns.taps(tiling), fft_columns.units(tiling)
        _, summed = fft_columns.vectors(tiling, width)
        products *= (1 + 2 / taps) * (1 + summed % fft_columns.TOGETHER / summed)
        seconds = machine.flop_time(transforms, spec, 1, self.fft_efficiency)
        seconds += machine.flop_time(products, spec, 1, self.sum_efficiency)
        tile = fft_columns.tile(tiling, width) * spec.itemsize
        if 2 * tile > machine.l2_bytes:
            seconds += units * 4 * tile / machine.bandwidth
        filters = self.filter_bytes(spec, tiling)
        moved = machine.byte_time(spec.min_bytes, threads) + units * machine.byte_time(filters) / spec.K
        return seconds * -(-units // threads) / units + self.early * moved + machine.call_overhead

    def error(self, spec: ConvSpec, tiling: Tiling) -> float:
        """A row's taps are summed as channels are."""
        return transform_error(spec, tiling.rows, fft_columns.taps(tiling))


FORMS: tuple[Form, ...] = (Columns(), Lanes(), Planes())
