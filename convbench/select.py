"""Choosing: ``fastest`` answers from what was measured on this machine, else from the cost model; ``explain`` says why.

Nothing is measured on the call path. Constraints are honoured strictly; unasked, an algorithm is admitted only if its
error bound is at most ``ADMITTED`` times that of the direct sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from convbench import choices, machine
from convbench.algorithm import Unsupported, algorithms, direct_error, generation
from convbench.choices import Measured
from convbench.driver import Kernel, checked_limits, worthwhile
from convbench.kernels.threads import available
from convbench.spec import ConvSpec, SpecError
from convbench.units import NOTHING, count, scientific, seconds, size

ADMITTED = 8.0  # times the direct sum's error bound: what ``auto`` accepts when no max_error is given
NONFINITE = (None, "local")


@dataclass(frozen=True)
class Candidate:
    """One row of :func:`explain`: a planned kernel or the reason why there is none, and its times in seconds."""

    algorithm: str
    kernel: Kernel | None
    reason: str  # why not; "" for a candidate
    predicted: float | None = None
    measured: Measured | None = None

    def time(self, prepared: bool) -> float | None:
        """Measured seconds, with preparation unless ``prepared``; None if never measured."""
        if self.measured is None:
            return None
        return self.measured.steady + (0 if prepared else self.measured.prepare)


@dataclass(frozen=True)
class Explanation:
    """Every algorithm's row for one problem, best first, those that cannot or may not last; ``print`` shows a table."""

    spec: ConvSpec
    threads: int
    prepared: bool
    rows: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate | None:
        return self.rows[0] if self.rows and not self.rows[0].reason else None

    def __str__(self) -> str:
        how = "prepared filter" if self.prepared else "preparation paid in every call"
        width = max((len(row.algorithm) for row in self.rows), default=0)
        line = f"  {{:{width}}}  {{:>10}}  {{:>10}}  {{:>8}}  {{:>9}}  {{}}"
        lines = [
            f"{self.spec}: {count(self.threads, 'thread')}, {how}",
            line.format("algorithm", "measured", "predicted", "error ≤", "scratch", "verdict"),
        ]
        measured = self.chosen is not None and self.chosen.measured is not None
        for position, row in enumerate(self.rows):
            times = seconds(row.time(self.prepared)), seconds(row.predicted)
            needs = (NOTHING, NOTHING)
            if row.kernel is not None:
                needs = scientific(row.kernel.error_bound), size(row.kernel.workspace_bytes)
            other = "slower" if row.measured or not measured else "not measured here"
            verdict = row.reason or ("chosen" if position == 0 else other)
            lines.append(line.format(row.algorithm, *times, *needs, verdict))
        return "\n".join(lines)


def explain(
    spec: ConvSpec,
    *,
    threads: int | None = None,
    max_error: float | None = None,
    nonfinite: str | None = None,
    workspace_limit: int | None = None,
    prepared: bool = True,
) -> Explanation:
    """One row per algorithm for this problem: verdict or reason, predicted and measured time. Print it.

    Takes :func:`fastest`'s constraints. Raises SpecError for constraints that make no sense.
    """
    threads, workspace_limit = _checked(spec, threads, max_error, nonfinite, workspace_limit)
    threads = available(threads)
    known = choices.load().get(choices.key(spec, threads), {})
    rows = [
        _candidate(name, spec, threads, max_error, nonfinite, workspace_limit, prepared, known) for name in algorithms()
    ]
    if any(row.measured is None and row.algorithm in known for row in rows if not row.reason):
        rows = [replace(row, measured=None) for row in rows]  # times of other plans: compare predictions throughout
    return Explanation(spec, threads, prepared, tuple(sorted(rows, key=lambda row: _preference(row, prepared))))


def _checked(
    spec: Any, threads: Any, max_error: Any, nonfinite: Any, workspace_limit: Any
) -> tuple[int | None, int | None]:
    """threads and workspace_limit as ``checked_limits`` has them; SpecError unless every constraint makes sense."""
    if not isinstance(spec, ConvSpec):
        raise SpecError(f"spec must be a ConvSpec, not {type(spec).__name__}")
    limits = checked_limits(threads, workspace_limit)
    if max_error is not None and not (isinstance(max_error, int | float | np.floating | np.integer) and max_error > 0):
        raise SpecError(f"max_error is {max_error!r}; allowed: None or a number > 0")
    if not (nonfinite is None or (isinstance(nonfinite, str) and nonfinite in NONFINITE)):
        raise SpecError(f"nonfinite is {nonfinite!r}; allowed: None or 'local'")
    return limits


def _candidate(
    name: str,
    spec: ConvSpec,
    threads: int,
    max_error: float | None,
    nonfinite: str | None,
    workspace_limit: int | None,
    prepared: bool,
    known: Mapping[str, Measured],
) -> Candidate:
    algorithm = algorithms()[name]
    try:
        threads = worthwhile(algorithm, spec, threads)
        kernel = Kernel(algorithm, spec, threads, workspace_limit, "")
    except Unsupported as error:
        return Candidate(name, None, algorithm.supports(spec) or str(error))
    limit = ADMITTED * direct_error(spec) if max_error is None else max_error
    reason = ""
    if kernel.error_bound > limit:
        allowed = "max_error" if max_error is not None else f"{ADMITTED:g} × the direct sum's"
        reason = f"error bound {kernel.error_bound:.1e} above {allowed} ({limit:.1e})"
    elif nonfinite == "local" and not algorithm.local:
        reason = "spreads NaN and infinity beyond the outputs that read them"
    predicted = kernel.predicted(machine.current(), prepared)
    measured = known.get(name)
    if measured and workspace_limit is not None and kernel.workspace_bytes != _unlimited(name, spec, threads):
        measured = None  # it was another plan that was timed
    return Candidate(name, kernel, reason, predicted, measured)


def _unlimited(name: str, spec: ConvSpec, threads: int) -> int:
    """Scratch of the plan that a benchmark times."""
    return Kernel(algorithms()[name], spec, threads, None, "").workspace_bytes


def _preference(row: Candidate, prepared: bool) -> tuple[object, ...]:
    """Sort key: candidates before refusals, measured before predicted, then rank or time, then name."""
    measured = row.measured
    time = row.time(prepared) if measured else row.predicted
    rank = measured.rank if measured and prepared else 0
    return bool(row.reason), row.kernel is None, measured is None, rank, time or 0.0, row.algorithm


def fastest(
    spec: ConvSpec,
    *,
    threads: int | None = None,
    max_error: float | None = None,
    nonfinite: str | None = None,
    workspace_limit: int | None = None,
    prepared: bool = True,
) -> Kernel:
    """The kernel expected to solve ``spec`` soonest; ``.why`` says on what evidence.

    Minimises the steady time of a prepared layer, or preparation + run with ``prepared=False``.
    max_error: largest acceptable error bound, in units of √(x² ⋆ w²); by default 8 × the direct sum's.
    nonfinite="local": only algorithms that keep NaN and infinity to the outputs that read them.
    workspace_limit: most scratch in bytes. Raises Unsupported when nothing meets the constraints, SpecError for
    constraints that make no sense.
    """
    threads, workspace_limit = _checked(spec, threads, max_error, nonfinite, workspace_limit)
    state = available(threads), generation(), choices.version()
    return _decide(spec, threads, max_error, nonfinite, workspace_limit, prepared, *state)


@lru_cache(maxsize=256, typed=True)
def _decide(
    spec: ConvSpec,
    threads: int | None,
    max_error: float | None,
    nonfinite: str | None,
    workspace_limit: int | None,
    prepared: bool,
    *state: object,
) -> Kernel:
    """:func:`fastest`, remembered as long as ``state`` (threads available, the registry, the file of choices) stays."""
    found = explain(spec, threads=threads, max_error=max_error, nonfinite=nonfinite, workspace_limit=workspace_limit,
                    prepared=prepared)  # fmt: skip
    best = found.chosen
    if best is None or best.kernel is None:
        planned = [(row.kernel.error_bound, row.algorithm, row.reason) for row in found.rows if row.kernel is not None]
        least = "; the least error bound is {:.1e}, {}'s".format(*min(planned)) if planned and max_error else ""
        reasons = "; ".join(f"{name}: {reason}" for _, name, reason in planned)
        raise Unsupported(f"no algorithm meets these constraints for {spec}{least}. {reasons}")
    time = best.time(prepared)
    evidence = f"predicted {seconds(best.predicted)}" if time is None else f"measured {seconds(time)} on this machine"
    others = [row for row in found.rows[1:] if not row.reason]
    if others:
        second = others[0]
        theirs = second.time(prepared)
        evidence += f"; next {second.algorithm}, " + (
            f"predicted {seconds(second.predicted)}" if theirs is None else f"measured {seconds(theirs)}"
        )
    best.kernel.why = f"{best.algorithm}: {evidence}"
    return best.kernel
