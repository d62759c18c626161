"""LLVM IR of one tile of a depthwise plane: rows × vectors of sums over shifted pixels.

Small filters go row by row of the image (``by_rows``): all taps that read a row, one after another, nothing for a row
beyond the image. A row is read once and shifted in registers for each column of the filter: reads that begin at every
column cross lines of the cache nearly always. Two channels share a vector where a row fills half of one. Other filters
go by chains (``by_chains``, see ``kernels/plane_forms.py``), with rows beyond the image read from a row of zeros.
Columns beyond it are lanes that masks leave out.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from convbench.kernels.plane_forms import Form
from convbench.kernels.simd import Vectors, index, opaque, repeat

AHEAD = 8192  # bytes between what is used and what is fetched; 2 and 4 KiB were slower by up to a fifth on large planes
FEW = 9  # taps that stay in registers

Sums = dict[tuple[int, int], ir.Value]


class Tile:
    """y[c, p, q] = bias + Σ_{r,s} w[r, s, c] · x[c, row + p·A·stride + r·dilation, column + q·stride + s·column_step].

    c < ``channels``. x: address of x[0, 0] of each plane; y: of the tile's first output in each; w: of the first tap,
    in the form's order; number: the ``Geometry``'s values by name. Lanes of pixels, weights and sums go (column,
    channel), the channel fastest.
    """

    def __init__(
        self, builder: ir.IRBuilder, vectors: Vectors, form: Form, width: int, number: dict[str, ir.Value],
        x: Sequence[ir.Value], y: Sequence[ir.Value], w: ir.Value, row: ir.Value, column: ir.Value,
    ) -> None:  # fmt: skip
        self.builder, self.vectors, self.form, self.number = builder, vectors, form, number
        self.channels = len(form.channels)
        self.columns = vectors.lanes // self.channels
        self.height, self.width, self.step, self.B = len(form.height), width, len(form.stride), len(form.B)
        self.x, self.y, self.w, self.row, self.column = x, y, w, row, column
        self.tile = [(p, v) for p in range(self.height) for v in range(width)]
        self.y_step = builder.mul(number["A"], number["Q"])
        self.x_step = builder.mul(number["dilation"], number["W"])
        self.ahead = index(AHEAD // vectors.itemsize)

    def shift(self, s: ir.Value) -> ir.Value:
        """Filter column s, in columns of x."""
        return self.builder.mul(s, self.number["column_step"])

    def tap(self, w: ir.Value, at: int) -> ir.Value:
        """Tap ``at`` of each channel's filter, in that channel's lanes."""
        return self.vectors.spread(self.builder.gep(w, [index(at * self.channels)]), self.channels)

    def masks(self, shift: ir.Value) -> list[ir.Value]:
        """Of the vectors read for one column of the filter: what lies in the image."""
        first, lanes = self.builder.add(self.column, shift), self.vectors.lanes
        count = self.width * self.step
        return [self.vectors.inside(self.builder.add(first, index(i * lanes)), self.number["W"]) for i in range(count)]

    def row_masks(self, count: int) -> list[ir.Value]:
        """Of so many vectors from the tile's first column on."""
        at = [self.builder.add(self.column, index(i * self.vectors.lanes)) for i in range(count)]
        return [self.vectors.inside(first, self.number["W"]) for first in at]

    def pixels(self, of: ir.Value, masks: Sequence[ir.Value]) -> list[list[ir.Value]]:
        """[f][v]: x at columns f, f + step, …, of vector v, for f < step."""
        lanes, step = self.vectors.lanes, self.step
        read = [self.vectors.load(of, index(i * lanes), mask) for i, mask in enumerate(masks)]
        if step == 1:
            return [read]
        return [[self.vectors.pick(read[i], read[i + 1], range(f, 2 * lanes, 2)) for i in range(0, len(read), 2)]
                for f in range(step)]  # fmt: skip

    def read_row(self, offset: ir.Value, masks: Sequence[ir.Value]) -> list[list[ir.Value]]:
        """[f][j]: columns step·(j·columns + i) + f of a row that lies ``offset`` from the planes, i < columns."""
        lanes, vectors, step = self.vectors.lanes, self.vectors, self.step
        read = [[vectors.load(self.builder.gep(x, [offset]), index(i * lanes), mask) for i, mask in enumerate(masks)]
                for x in self.x]  # fmt: skip
        if step == self.channels == 1:
            return read

        def some(f: int, j: int) -> ir.Value:
            first = j * self.columns * step
            if self.channels == 1:
                a, b = self.two(read[0], first // lanes)
                return vectors.pick(a, b, range(f, 2 * lanes, 2))
            at = [first % lanes + i * step + f for i in range(self.columns)]
            a, b = (self.two(of, first // lanes)[0] for of in read)
            return vectors.pick(a, b, [lane for i in at for lane in (i, i + lanes)])

        count = self.width + -(-(len(self.form.S) - 1) // (step * self.columns))
        return [[some(f, j) for j in range(count)] for f in range(step)]

    def two(self, of: Sequence[ir.Value], i: int) -> list[ir.Value]:
        """Vectors i and i + 1, zeros where there are none."""
        return [of[j] if j < len(of) else self.vectors.zero for j in (i, i + 1)]

    def shifted(self, row: Sequence[Sequence[ir.Value]], s: int) -> list[ir.Value]:
        """Pixels that filter column s meets, vector by vector of the tile."""
        phase, shift = row[s % self.step], s // self.step
        lanes, skip, by = self.vectors.lanes, shift // self.columns, shift % self.columns * self.channels
        pairs = [self.two(phase, v + skip) for v in range(self.width)]
        return [self.vectors.pick(a, b, range(by, by + lanes)) if by else a for a, b in pairs]

    def fetch(self, address: ir.Value, vectors: int, *, write: bool = False) -> None:
        """Ask for the lines that will be wanted when the kernel has come ``AHEAD``."""
        for i in range(vectors):
            at = self.builder.add(self.ahead, index(i * self.vectors.lanes))
            self.vectors.prefetch(self.builder.gep(address, [at]), write=write)

    def joined(self, skipped: ir.Block, before: ir.Value, done: ir.Block, after: ir.Value) -> ir.Value:
        """``before`` if control came from the first block, ``after`` if it came from the second."""
        value = self.builder.phi(before.type)
        value.add_incoming(before, skipped)
        value.add_incoming(after, done)
        return value

    def by_rows(self, sums: Sums) -> Sums:
        """Adds all taps, row by row of the image."""
        builder, R, S, B = self.builder, len(self.form.R), len(self.form.S), self.B
        shifts = [] if self.form.shifted else [self.shift(index(s)) for s in range(0, S, self.step)]
        masks = [self.masks(shift) for shift in shifts]
        reach = (self.width * self.columns - 1) * self.step + S
        inside = self.row_masks(-(-reach // self.vectors.lanes)) if self.form.shifted else []
        few = R * S <= FEW
        kept = {(r, s): self.tap(self.w, r * S + s) for r in range(R) for s in range(S)} if few else {}

        def add(to: Sums, taps: list[tuple[int, ir.Value]], pixels: list[ir.Value]) -> None:
            for p, weight in taps:
                for v in range(self.width):
                    to[p, v] = self.vectors.fma(weight, pixels[v], to[p, v])

        def add_row(of: ir.Value, readers: list[tuple[int, int]], to: Sums) -> Sums:
            if self.form.shifted:
                row = self.read_row(of, inside)
                for s in range(S):
                    add(to, [(p, kept[r, s] if few else self.tap(self.w, r * S + s)) for p, r in readers],
                        self.shifted(row, s))  # fmt: skip
                return to
            for i, shift in enumerate(shifts):
                found = self.pixels(builder.gep(self.x[0], [builder.add(of, shift)]), masks[i])
                for f, s in enumerate(range(i * self.step, min((i + 1) * self.step, S))):
                    taps = [(p, kept[r, s] if few else self.tap(self.w, r * S + s)) for p, r in readers]
                    add(to, taps, found[f])
            return to

        h = self.row
        of = builder.add(builder.mul(h, self.number["W"]), self.column)
        y = self.y
        for n in range((self.height - 1) * B + R):
            readers = [(p, n - p * B) for p in range(self.height) if 0 <= n - p * B < R]
            before = {(p, v): sums[p, v] for p, _ in readers for v in range(self.width)}
            entry, body, done = builder.block, builder.append_basic_block("row"), builder.append_basic_block("row.done")
            builder.cbranch(builder.icmp_unsigned("<", h, self.number["H"]), body, done)
            builder.position_at_end(body)
            after = add_row(of, readers, dict(before))
            for x in self.x:
                self.fetch(builder.gep(x, [of]), self.width * self.step)
            if n % B == 0 and n // B < self.height:
                for to in y:
                    self.fetch(to, self.width, write=True)
            last = builder.block
            builder.branch(done)
            builder.position_at_end(done)
            for at, value in before.items():
                sums[at] = self.joined(entry, value, last, after[at])
            h = opaque(builder, builder.add(h, self.number["dilation"]))
            of = opaque(builder, builder.add(of, self.x_step))
            if n % B == 0:
                y = [opaque(builder, builder.gep(to, [self.y_step])) for to in y]
        return sums

    def by_chains(self, sums: Sums, counts: ir.Value, plane: ir.Value, zeros: ir.Value) -> Sums:
        """Adds all taps, chain by chain, those that find rows of the image.

        counts: address of how many chains each length has; plane: of this output plane's chains; zeros: of W zeros.
        """
        builder, W = self.builder, self.number["W"]
        down = self.number["down"]
        x_step = builder.mul(down, W)
        of, y = builder.gep(self.x[0], [builder.add(builder.mul(self.row, W), self.column)]), self.y[0]
        for _ in range(self.height):
            self.fetch(of, self.width * self.step)
            self.fetch(y, self.width, write=True)
            of, y = (opaque(builder, builder.gep(at, [step])) for at, step in ((of, x_step), (y, self.y_step)))

        def add_column(s: ir.Value, lines: list[ir.Value], length: int, w: ir.Value, sums: Sums) -> Sums:
            shift = self.shift(s)
            masks, column = self.masks(shift), builder.add(self.column, shift)
            weights = [self.tap(w, m) for m in range(length)]
            for j, line in enumerate(lines):
                found = self.pixels(builder.gep(line, [column]), masks)[0]
                for v, pixels in enumerate(found):
                    for m in range(length):
                        if (j - m, v) in sums:
                            sums[j - m, v] = self.vectors.fma(weights[m], pixels, sums[j - m, v])
            return sums

        def add_chain(length: int, chain: ir.Value, w: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            h = builder.add(self.row, builder.load(chain))
            last = builder.add(h, builder.mul(down, index(self.height + length - 2)))
            inside = builder.and_(
                builder.icmp_signed("<", h, self.number["H"]), builder.icmp_signed(">=", last, index(0))
            )
            entry, some, done = (
                builder.block,
                builder.append_basic_block("chain"),
                builder.append_basic_block("chained"),
            )
            passed_over = builder.gep(w, [builder.mul(self.number["S"], index(length))])
            builder.cbranch(inside, some, done)
            builder.position_at_end(some)
            line = builder.add(h, builder.load(builder.gep(chain, [index(1)])))
            at, lines = builder.gep(self.x[0], [builder.mul(line, W)]), []
            for _ in range(self.height + length - 1):
                lines.append(builder.select(builder.icmp_unsigned("<", h, self.number["H"]), at, zeros))
                h, at = opaque(builder, builder.add(h, down)), opaque(builder, builder.gep(at, [x_step]))

            def body(s: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
                added = add_column(s, lines, length, carried[0], dict(zip(self.tile, carried[1:], strict=True)))
                return [builder.gep(carried[0], [index(length)]), *added.values()]

            added = repeat(builder, self.number["S"], [w, *sums], body)
            end = builder.block
            builder.branch(done)
            builder.position_at_end(done)
            return [self.joined(entry, before, end, after)
                    for before, after in zip([passed_over, *sums], added, strict=True)]  # fmt: skip

        carried: Sequence[ir.Value] = [self.w, *sums.values()]
        for n, kind in enumerate(self.form.chains):
            count, length, first = builder.load(builder.gep(counts, [index(n)])), len(kind), plane

            def body(i: ir.Value, carried: Sequence[ir.Value], first=first, length=length) -> Sequence[ir.Value]:
                return add_chain(length, builder.gep(first, [builder.mul(i, index(2))]), carried[0], carried[1:])

            carried = repeat(builder, count, carried, body)
            plane = builder.gep(plane, [builder.mul(count, index(2))])
        return dict(zip(self.tile, carried[1:], strict=True))

    def store(self, sums: Sums, rows: ir.Value, cols: ir.Value) -> None:
        """Writes the first ``rows`` × ``cols`` of them to y."""
        builder = self.builder
        lanes = self.vectors.lanes
        masks, y = self.vectors.masks(index(0), cols, self.width), self.y
        for p in range(self.height):
            with builder.if_then(builder.icmp_signed("<", index(p), rows)):
                for c, to in enumerate(y):
                    for v in range(self.width):
                        own = [i * self.channels % lanes + c for i in range(lanes)]
                        value = self.vectors.pick(sums[p, v], sums[p, v], own) if self.channels > 1 else sums[p, v]
                        self.vectors.store(value, to, index(v * lanes), masks[v])
            y = [opaque(builder, builder.gep(to, [self.y_step])) for to in y]
