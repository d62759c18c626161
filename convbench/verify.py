"""``check(algorithm, spec)``: the only definition of "equal" — tests, benchmark and command line all call it.

Error = max|y − y*| / max √(x² ⋆ w²), with y* from :mod:`convbench.reference`. The denominator is the size of the
terms that were summed, so the measure stays meaningful where they cancel and where data is badly scaled. Algorithms
that keep rounding errors local are judged element by element against √(x² ⋆ w²) of that element.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, get
from convbench.data import arrays
from convbench.driver import Kernel, Layer, checked_limits
from convbench.kernels.threads import available
from convbench.layouts import logical, stored
from convbench.operands import operand
from convbench.reference import oracle, outputs
from convbench.spec import ConvSpec, SpecError

FULL = 10**8  # multiply-adds up to which every output is compared
SAMPLES = 4096  # interior outputs compared beyond that, besides all border rows and columns


@dataclass(frozen=True)
class Verdict:
    """What :func:`check` found.

    error, bound  in units of √(x² ⋆ w²);  relative_error  max|y − y*| / max|y*|;  ok  error ≤ bound and all finite;
    weak  the data could hardly have caught an error (more than half of the outputs are nothing but the bias);
    checked  outputs compared;  reason  why not ok, or "".
    """

    algorithm: str
    spec: ConvSpec
    error: float
    bound: float
    ok: bool
    relative_error: float
    rms_error: float
    weak: bool
    checked: int
    reason: str

    def __str__(self) -> str:
        word = "weak test" if self.ok and self.weak else "ok" if self.ok else f"FAILED: {self.reason}"
        return (
            f"{self.algorithm} on {self.spec}: {word}; error {self.error:.2e} (bound {self.bound:.2e}), "
            f"{self.relative_error:.2e} of max|y|, {self.checked} outputs"
        )


class Truth(NamedTuple):
    """Expected outputs y*, √(x² ⋆ w²) beside each, and where they are: an index for y, or None for everywhere."""

    operands: tuple[np.ndarray, np.ndarray, np.ndarray]
    expected: np.ndarray
    scale: np.ndarray
    at: np.ndarray | None

    def seen(self, y: np.ndarray) -> np.ndarray:
        return y if self.at is None else np.moveaxis(y, 1, -1)[tuple(self.at.T)]

    @property
    def weak(self) -> bool:
        """Whether more than half of the outputs are nothing but the bias: all their products are zero."""
        ones = (1,) * (self.operands[0].ndim - 2 if self.at is None else 0)
        bias = self.operands[2].astype(self.expected.dtype).reshape(-1, *ones)
        return bool(np.mean(self.expected == bias) > 0.5)


def _pixels(spec: ConvSpec, seed: int) -> np.ndarray:
    """Indices (n, p, …): every border row and column, and seeded interior pixels for SAMPLES outputs or more."""
    size = (spec.N, *spec.output_spatial)
    chosen = []
    for axis in range(1, len(size)):
        for side in {0, size[axis] - 1}:
            slab = [np.arange(n) if i != axis else np.array([side]) for i, n in enumerate(size)]
            chosen.append(np.stack(np.meshgrid(*slab, indexing="ij"), axis=-1).reshape(-1, len(size)))
    if min(spec.output_spatial) > 2:
        rng = np.random.default_rng(seed)
        wanted = max(64, -(-SAMPLES // spec.K))
        inner = [rng.integers(0, spec.N, wanted), *(rng.integers(1, n - 1, wanted) for n in spec.output_spatial)]
        chosen.append(np.stack(inner, axis=-1))
    return np.concatenate(chosen)


@lru_cache(maxsize=2)
def truth(spec: ConvSpec, kind: str = "normal", seed: int = 0) -> Truth:
    """The oracle's answer for ``data.arrays(spec, seed, kind)``; whole up to FULL multiply-adds, sampled beyond."""
    x, w, bias = operands = arrays(spec, seed, kind)
    squares = (x.astype(np.float64) ** 2, w.astype(np.float64) ** 2, bias.astype(np.float64) ** 2)
    if spec.macs <= FULL:
        return Truth(operands, oracle(x, w, bias, spec), np.sqrt(oracle(*squares, spec)), None)
    at = _pixels(spec, seed)
    return Truth(operands, outputs(x, w, bias, spec, at), np.sqrt(outputs(*squares, spec, at)), at)


def judge(algorithm: Algorithm, spec: ConvSpec, y: np.ndarray, facts: Truth, bound: float) -> Verdict:
    """Compare an output with the truth. ``y`` of another shape or dtype, or with elements not finite, is not ok."""
    seen = facts.seen(y)
    expected, scale = facts.expected, facts.scale
    if not expected.size:
        return Verdict(algorithm.name, spec, 0.0, bound, True, 0.0, 0.0, False, 0, "")
    largest = float(scale.max()) or 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(seen - expected)
    rms = float(np.sqrt(np.mean((gap / largest) ** 2)))
    measure = gap / np.where(scale > 0, scale, largest) if algorithm.local else gap / largest
    error = float(measure.max())
    reason = ""
    if not np.isfinite(seen).all():
        error, reason = float("inf"), f"{int((~np.isfinite(seen)).sum())} outputs are not finite"
    elif error > bound:
        worst = np.unravel_index(int(measure.argmax()), measure.shape)
        reason = f"error {error:.3g} at {tuple(map(int, worst))} exceeds the bound {bound:.3g}"
    relative = float(gap.max() / (np.abs(expected).max() or 1.0))
    return Verdict(algorithm.name, spec, error, bound, not reason, relative, rms, facts.weak, expected.size, reason)


def check(
    algorithm: Algorithm | str,
    spec: ConvSpec,
    *,
    kind: str = "normal",
    seed: int = 0,
    threads: int | None = 1,
    workspace_limit: int | None = None,
) -> Verdict:
    """Run an algorithm on seeded data and compare it with the oracle.

    It runs twice on one state, with the bias and without, on the operands' own memory, each time with the output
    pre-filled with NaN and the workspace poisoned: an output left out, a read of scratch before it was written, a write
    to an operand and a state that the first run spoilt all show. A plan of its own for calls that prepare the filter
    (``Algorithm.unprepared``) runs once more. Raises Unsupported where the algorithm does not apply,
    UnknownAlgorithm for a name nobody registered.
    """
    algorithm = algorithm if isinstance(algorithm, Algorithm) else get(algorithm)
    if not isinstance(spec, ConvSpec):
        raise SpecError(f"spec must be a ConvSpec, not {type(spec).__name__}")
    checked_limits(threads, workspace_limit)
    planned = Kernel(algorithm, spec, available(threads), workspace_limit, "checked")
    facts = truth(spec, kind, seed)
    given = facts.operands if spec.layout == "NCHW" else (stored(facts.operands[0], spec.layout), *facts.operands[1:])
    before = [array.tobytes() for array in given]
    x, w, bias = (operand(array, array.shape, spec.np_dtype, "operand") for array in given)
    state = algorithm.prepare(planned.plan, w)  # Kernel.prepare would hand over copies

    def attempt(bias: np.ndarray | None, prepared: bool = True) -> Verdict:
        y = np.full(spec.stored_output_shape, np.nan, spec.np_dtype)
        planned.poison()
        y = Layer(planned, state, bias)(x, out=y) if prepared else planned(x, w, bias, y)
        y = logical(y, spec.layout, spec.K)
        if bias is None:
            y = y + facts.operands[2].astype(facts.expected.dtype).reshape(-1, *(1,) * spec.ndim)
        return judge(algorithm, spec, y, facts, planned.error_bound)

    verdicts = [attempt(bias), attempt(None)]
    if planned.plans_apart:
        verdicts.append(attempt(bias, prepared=False))
    verdict = next((each for each in verdicts if not each.ok), verdicts[1])
    if before != [array.tobytes() for array in given]:
        truth.cache_clear()
        return replace(verdict, ok=False, reason="an operand was written")
    return verdict
