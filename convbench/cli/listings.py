"""``explain``, ``algorithms``, ``machine`` and ``shapes``: commands that look something up and print it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from convbench import algorithm as registry
from convbench import machine as constants
from convbench.cli.terminal import console, problems_of, register_files
from convbench.formats import benchdnn, csv, deepbench, miopen
from convbench.machine import Machine
from convbench.spec import SpecError, nearest
from convbench.suites import Problem
from convbench.units import count, percent, rate, seconds, size

WRITERS = {"benchdnn": benchdnn.dumps, "csv": csv.dumps, "deepbench": deepbench.dumps, "miopen": miopen.dumps}


def explain(texts: Iterable[str], files: Sequence[Path], constraints: Mapping[str, Any]) -> None:
    from convbench import select

    register_files(files)
    for problem in problems_of(texts):
        typer.echo(select.explain(problem.spec, **constraints))


def algorithms(rivals: bool, files: Sequence[Path]) -> None:
    register_files(files)
    table = Table("algorithm", "local", "exact", "claim", box=None, header_style="bold")
    if rivals:
        from convbench.peers import peers

        for name, peer in peers().items():
            table.add_row(name, *_flags(peer), peer.available() or peer.claim)
    else:
        for name, ours in registry.algorithms().items():
            table.add_row(name, *_flags(ours), ours.claim)
    console().print(table, markup=False)


def _flags(algorithm: registry.Algorithm) -> tuple[str, str]:
    return "yes" if algorithm.local else "no", "yes" if algorithm.exact else "no"


def machine(measure: bool, save: bool) -> None:
    if measure:
        from convbench.bench.calibrate import measure as measured
        from convbench.bench.probes import Ring

        ring = Ring()
        ring.touch()
        limits = measured(ring)
        origin = f"measured, saved to {constants.save(limits)}" if save else "measured, not saved"
    else:
        limits = constants.current()
        origin = "shipped with convbench" if limits == constants.SHIPPED else "measured here earlier"
    table = Table(show_header=False, box=None)
    for name, value in {**constants.describe(), **_limits(limits), "constants": origin}.items():
        table.add_row(name.replace("_", " "), str(value))
    console().print(table, markup=False, soft_wrap=True)


def _limits(limits: Machine) -> dict[str, str]:
    return {
        **{f"peak of a core, {dtype}": rate(flops, "flop/s") for dtype, flops in limits.peak_flops.items()},
        "bandwidth of memory, one core": rate(limits.bandwidth, "B/s"),
        "bandwidth of L2": rate(limits.l2_bandwidth, "B/s"),
        "L2 of a core": size(limits.l2_bytes),
        "BLAS product, of peak": percent(limits.blas_fraction),
        "real FFT, 2.5 n log2 n flop": rate(limits.fft_flops, "flop/s"),
        "overhead of a call": seconds(limits.call_overhead),
    }


def shapes(source: str, to: str | None, batch: int | None) -> None:
    if to is not None and to not in WRITERS:
        raise SpecError(f"--to is {to!r}; {nearest(to, WRITERS)}")
    problems = problems_of([source], batch)
    if to is not None:
        typer.echo(_converted(problems, to), nl=False)
    typer.echo(_counted(problems), err=to is not None)


def _converted(problems: Sequence[Problem], to: str) -> str:
    if to != "benchdnn":
        return WRITERS[to](problem.spec for problem in problems)
    prefixes = ("" if problem.weights == "dense" else f"--weights={problem.weights} " for problem in problems)
    return "".join(p + benchdnn.dumps([problem.spec]) for p, problem in zip(prefixes, problems, strict=True))


def _counted(problems: Sequence[Problem]) -> str:
    runs = sum(problem.spec.repeats for problem in problems)
    once = sum(problem.spec.flop for problem in problems)
    every = sum(problem.spec.flop * problem.spec.repeats for problem in problems)
    text = f"{count(len(problems), 'distinct problem')}, {count(runs, 'occurrence')}"
    return f"{text}; {rate(once, 'flop')} once each, {rate(every, 'flop')} in all"
