"""Minimal filtering F(m, r) in exact rationals: the Cook-Toom transforms and the straight-line code that applies them.

F(m, r) computes m outputs of an r-tap correlation from α = m + r − 1 inputs with α products (Lavin & Gray,
arXiv:1509.09308, §4)::

    y = Aᵀ [(G g) ⊙ (Bᵀ d)]        y_i = Σ_j g_j · d_{i+j}        Aᵀ (m, α)   G (α, r)   Bᵀ (α, α)

It is the transpose of multiplying polynomials of m and r coefficients by evaluation at α − 1 finite points and ∞
(Winograd 1980; names and order as in wincnn): Aᵀ and G hold powers of the points, Bᵀ the Lagrange numerators, G also
their denominators. Every coefficient is a ``Fraction`` until code is emitted, and the functions that emit vector
instructions are the ones that ``tests/test_winograd.py`` runs on exact numbers.

At stride s the output is a sum over phases b < s of the input, each with a filter of its own (:func:`strided`)::

    y_i = Σ_j g_j · d_{s·i+j} = Σ_b Σ_u g_{s·u+b} · d_{s·(i+u)+b}

so F(m, r) takes α = s·(m − 1) + r products of as many inputs, and tiles begin s·m inputs apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property, reduce
from itertools import accumulate, chain
from math import prod, sqrt
from typing import Any, Protocol, TypeVar

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]
Value = TypeVar("Value")

#: Finite points by their number, where error decides; ∞ is always the last point. ±2/3, ±3/2 lose half the error of
#: the usual ±1, ±2, and −1, 1/2, 2 a third of that of ±1, 2; ±1, ±1/2, ±2 beat neighbours with a little less
#: amplification, as their coefficients are exact (test_points_beat_their_neighbours).
POINTS: dict[int, Row] = {
    3: tuple(map(Fraction, ("0", "1", "-1"))),
    4: tuple(map(Fraction, ("0", "-1", "1/2", "2"))),
    5: tuple(map(Fraction, ("0", "2/3", "-2/3", "3/2", "-3/2"))),
    7: tuple(map(Fraction, ("0", "1", "-1", "1/2", "-1/2", "2", "-2"))),
}


def points(m: int, r: int) -> Row:
    """The m + r − 2 finite points of F(m, r): :data:`POINTS`, or 0, ±1, ±2, ±1/2, ±3, ±1/3, … for other sizes."""
    count = m + r - 2
    if count in POINTS:
        return POINTS[count]
    chosen, n = [Fraction(0), Fraction(1), Fraction(-1)], 2
    while len(chosen) < count:
        chosen += [Fraction(n), Fraction(-n), Fraction(1, n), Fraction(-1, n)]
        n += 1
    return tuple(chosen[:count])


@dataclass(frozen=True, eq=False)
class Transform:
    """F(m, r): the exact matrices Aᵀ (m, α), G (α, r) and Bᵀ (α, α); ``phases`` whose sum it is at another stride."""

    m: int
    r: int
    AT: Matrix
    G: Matrix
    BT: Matrix
    stride: int = 1
    phases: tuple[Transform, ...] = ()

    @property
    def alpha(self) -> int:
        return self.stride * (self.m - 1) + self.r

    @property
    def step(self) -> int:
        """Inputs from one tile to the next."""
        return self.stride * self.m

    @cached_property
    def amplification(self) -> float:
        """κ: rms growth of independent relative errors in the products, over the worst of the m outputs.

        κ² = max_i Σ_ξ Aᵀ_iξ² · ‖G_ξ‖² · ‖Bᵀ_ξ‖² / r. With independent zero-mean d and g, product ξ has variance
        ‖G_ξ‖²·‖Bᵀ_ξ‖² and the output variance r; an error of relative size ε in every product leaves κ·ε in the
        output. κ is 1 for a direct sum, and no scaling of the three matrices' rows against each other changes it.
        """
        variance = [sum(b * b for b in self.BT[x]) * sum(g * g for g in self.G[x]) for x in range(self.alpha)]
        return sqrt(max(sum(a * a * v for a, v in zip(row, variance, strict=True)) for row in self.AT) / self.r)


@cache
def cook_toom(m: int, r: int, finite: Row | None = None) -> Transform:
    """F(m, r) at the given finite points (default :func:`points`) and ∞; m, r ≥ 1, F(1, 1) being the identity.

    Row ξ of Bᵀ holds the coefficients of Π_{l≠ξ}(x − a_l), the last one those of Π_l(x − a_l); G_ξ = (a_ξ^j)/f_ξ
    with f_ξ = Π_{l≠ξ}(a_ξ − a_l); column ξ of Aᵀ is (a_ξ^i). ValueError for repeated points or a wrong number.
    One tap has no products to save: F(m, 1) is the identity.
    """
    if r == 1:
        one = tuple(tuple(Fraction(i == j) for j in range(m)) for i in range(m))
        return Transform(m, 1, AT=one, G=((Fraction(1),),) * m, BT=one)
    a = points(m, r) if finite is None else finite
    if len(a) != m + r - 2 or len(set(a)) != len(a):
        raise ValueError(f"F({m}, {r}) takes {m + r - 2} different finite points, not {tuple(map(str, a))}")
    others = [a[:x] + a[x + 1 :] for x in range(len(a))]
    numerators = [_monic(rest) for rest in others] + [_monic(a)]
    scale = [prod((p - q for q in rest), start=Fraction(1)) for p, rest in zip(a, others, strict=True)]
    at_infinity = Fraction(1)
    return Transform(
        m,
        r,
        AT=tuple((*(p**i for p in a), at_infinity * (i == m - 1)) for i in range(m)),
        G=(*(tuple(p**j / f for j in range(r)) for p, f in zip(a, scale, strict=True)),
           tuple(at_infinity * (j == r - 1) for j in range(r))),
        BT=tuple((*c, *[Fraction(0)] * (m + r - 1 - len(c))) for c in numerators),
    )  # fmt: skip


@cache
def strided(m: int, r: int, stride: int) -> Transform:
    """F(m, r) at a stride ≤ r, unless m = 1: the products of its phases F(m, ⌈(r − b) / stride⌉) behind each other."""
    if stride == 1:
        return cook_toom(m, r)
    if stride > r and m > 1:
        raise ValueError(f"F({m}, {r}) skips inputs at stride {stride}")
    phases = tuple(cook_toom(m, -(-(r - b) // stride)) for b in range(min(stride, r)))

    def apart(row: Row, b: int, size: int) -> Row:
        """Coefficients of a phase, where its taps and inputs lie."""
        spread = [Fraction(0)] * size
        spread[b::stride] = row
        return tuple(spread)

    alpha = stride * (m - 1) + r
    return Transform(
        m,
        r,
        AT=tuple(tuple(chain(*(f.AT[i] for f in phases))) for i in range(m)),
        G=tuple(apart(row, b, r) for b, f in enumerate(phases) for row in f.G),
        BT=tuple(apart(row, b, alpha) for b, f in enumerate(phases) for row in f.BT),
        stride=stride,
        phases=phases,
    )


def _monic(roots: Row) -> Row:
    """Coefficients of Π(x − root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        raised = [Fraction(0), *coefficients]
        coefficients = [up - root * c for up, c in zip(raised, [*coefficients, Fraction(0)], strict=True)]
    return tuple(coefficients)


class Arithmetic(Protocol[Value]):
    """What straight-line code is made of: exact numbers, LLVM vectors, or a counter of operations."""

    def add(self, x: Value, y: Value) -> Value: ...
    def subtract(self, x: Value, y: Value) -> Value: ...
    def scale(self, c: Fraction, x: Value) -> Value: ...
    def multiply_add(self, c: Fraction, x: Value, y: Value) -> Value:
        """c·x + y"""
        ...


def input_transform(transform: Transform, d: Sequence[Value], on: Arithmetic[Value]) -> list[Value]:
    """Bᵀ d. Rows of points ±a are even ± a·odd, so that a pair of rows costs little more than one."""
    if transform.phases:
        inputs = [d[b :: transform.stride] for b in range(len(transform.phases))]
        return list(chain(*(input_transform(f, some, on) for f, some in zip(transform.phases, inputs, strict=True))))
    result = []
    for x, mirrored in _mirrored(transform.BT):
        first = transform.BT[x]
        if not mirrored:
            result.append(_combine(first, d, on))
            continue
        even = _combine([c if k % 2 == 0 else Fraction(0) for k, c in enumerate(first)], d, on)
        factor = next(c for c in first[1::2][::-1] if c)
        odd = _combine([c / factor if k % 2 else Fraction(0) for k, c in enumerate(first)], d, on)
        result += [_multiply_add(factor, odd, even, on), _multiply_add(-factor, odd, even, on)]
    return result


def output_transform(transform: Transform, products: Sequence[Value], on: Arithmetic[Value]) -> list[Value]:
    """Aᵀ M. Columns of points ±a differ only in sign: even rows read the pair's sum, odd rows its difference."""
    if transform.phases:
        ends = list(accumulate(f.alpha for f in transform.phases))
        sums = [
            output_transform(f, products[end - f.alpha : end], on)
            for f, end in zip(transform.phases, ends, strict=True)
        ]
        return [reduce(on.add, outputs) for outputs in zip(*sums, strict=True)]
    groups = _mirrored(tuple(zip(*transform.AT, strict=True)))
    halves = [
        [join(products[x], products[x + 1]) if mirrored else products[x] for x, mirrored in groups]
        for join in (on.add, on.subtract)[: transform.m]
    ]
    return [_combine([row[x] for x, _ in groups], halves[i % 2], on) for i, row in enumerate(transform.AT)]


def _mirrored(vectors: Matrix) -> list[tuple[int, bool]]:
    """Where each group starts, and whether it is a pair v, v' of neighbours with v'_k = (−1)^k·v_k."""
    groups = []
    x = 0
    while x < len(vectors):
        flipped = tuple(-c if k % 2 else c for k, c in enumerate(vectors[x]))
        mirrored = flipped != vectors[x] and vectors[x + 1 : x + 2] == (flipped,)
        groups.append((x, mirrored))
        x += 2 if mirrored else 1
    return groups


def _combine(coefficients: Sequence[Fraction], values: Sequence[Value], on: Arithmetic[Value]) -> Value:
    """Σ c·v over the coefficients that are not 0, those that are 1 first."""
    terms = [(c, v) for c, v in zip(coefficients, values, strict=True) if c]
    terms.sort(key=lambda term: term[0] != 1)
    (c, total), *rest = terms
    total = total if c == 1 else on.scale(c, total)
    for c, value in rest:
        total = _multiply_add(c, value, total, on)
    return total


def _multiply_add(c: Fraction, x: Value, y: Value, on: Arithmetic[Value]) -> Value:
    return on.add(y, x) if c == 1 else on.subtract(y, x) if c == -1 else on.multiply_add(c, x, y)


class Flop:
    """Arithmetic that only counts: additions and multiplications 1, multiply-adds 2."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, x: Any, y: Any) -> None:
        self.count += 1

    def subtract(self, x: Any, y: Any) -> None:
        self.count += 1

    def scale(self, c: Fraction, x: Any) -> None:
        self.count += 1

    def multiply_add(self, c: Fraction, x: Any, y: Any) -> None:
        self.count += 2


@cache
def transform_flop(rows: Transform, columns: Transform) -> tuple[int, int]:
    """Flop of Bᵀ d B and of Aᵀ M A for one tile of F(rows × columns)."""
    once = []
    for apply in (input_transform, output_transform):
        counts = []
        for transform in (rows, columns):
            on = Flop()
            apply(transform, [None] * transform.alpha, on)
            counts.append(on.count)
        once.append(counts)
    (b_rows, b_columns), (a_rows, a_columns) = once
    return (
        columns.alpha * b_rows + rows.alpha * b_columns,
        columns.alpha * a_rows + rows.m * a_columns,
    )
