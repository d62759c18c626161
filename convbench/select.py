"""Choosing: ``fastest`` answers from what was measured on this machine, else from the cost model; ``explain`` says why.

Nothing is measured on the call path. Constraints are honoured strictly; unasked, an algorithm is admitted only if its
error bound is at most ``ADMITTED`` times that of the direct sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from convbench import choices, machine
from convbench.algorithm import Unsupported, algorithms, direct_error
from convbench.choices import Measured
from convbench.driver import Kernel, checked_limits
from convbench.kernels.threads import available
from convbench.spec import ConvSpec, SpecError

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
        lines = [f"{self.spec}: {self.threads} thread{'s' * (self.threads > 1)}, {how}"]
        width = max((len(row.algorithm) for row in self.rows), default=0)
        header = (
            f"  {'algorithm':{width}}  {'measured':>10}  {'predicted':>10}  {'error ≤':>8}  {'scratch':>9}  verdict"
        )
        lines.append(header)
        for position, row in enumerate(self.rows):
            verdict = row.reason or ("chosen" if position == 0 else "slower")
            planned = row.kernel
            lines.append(
                f"  {row.algorithm:{width}}  {seconds(row.time(self.prepared)):>10}  {seconds(row.predicted):>10}  "
                f"{planned.error_bound if planned else float('nan'):>8.1e}  "
                f"{size(planned.workspace_bytes) if planned else '–':>9}  {verdict}".replace("     nan", "       –")
            )
        return "\n".join(lines)


def seconds(value: float | None) -> str:
    """A time for reading: three significant digits and a unit."""
    if value is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def size(count: int) -> str:
    """Bytes for reading, in binary units."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GiB"


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
    if not isinstance(spec, ConvSpec):
        raise SpecError(f"spec must be a ConvSpec, not {type(spec).__name__}")
    checked_limits(threads, workspace_limit)
    if max_error is not None and not max_error > 0:
        raise SpecError(f"max_error is {max_error!r}; allowed: None or a number > 0")
    if nonfinite not in NONFINITE:
        raise SpecError(f"nonfinite is {nonfinite!r}; allowed: None or 'local'")
    threads = available(threads)
    known = choices.load().get(choices.key(spec, threads), {})
    rows = [
        _candidate(name, spec, threads, max_error, nonfinite, workspace_limit, prepared, known) for name in algorithms()
    ]
    return Explanation(spec, threads, prepared, tuple(sorted(rows, key=lambda row: _preference(row, prepared))))


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
    here = machine.current()
    predicted = algorithm.cost(kernel.plan, here) + (0 if prepared else algorithm.prepare_cost(kernel.plan, here))
    return Candidate(name, kernel, reason, predicted, known.get(name))


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
    return _decide(
        spec, threads, max_error, nonfinite, workspace_limit, prepared, available(threads), choices.version()
    )


@lru_cache(maxsize=256)
def _decide(
    spec: ConvSpec,
    threads: int | None,
    max_error: float | None,
    nonfinite: str | None,
    workspace_limit: int | None,
    prepared: bool,
    *state: object,
) -> Kernel:
    """:func:`fastest`, remembered as long as ``state`` (threads available, the file of choices) stays the same."""
    found = explain(spec, threads=threads, max_error=max_error, nonfinite=nonfinite, workspace_limit=workspace_limit,
                    prepared=prepared)  # fmt: skip
    best = found.chosen
    if best is None or best.kernel is None:
        reasons = "; ".join(f"{row.algorithm}: {row.reason}" for row in found.rows if row.kernel is not None)
        raise Unsupported(f"no algorithm meets these constraints for {spec}. {reasons}")
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
