"""Rows of a table: each a set of layers, ours, its rivals and a floor; printed layer by layer.

A line gives ours (with the algorithm), the best rival (with its mode), the ratio theirs / ours with its interval, the
percentage of the multiply-add peak probed beside them (ours / theirs; the direct sum's flop, so that algorithms that
save flop can pass 100%) and the error max|y − y*| / max|y*| (ours / theirs).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from layers import draw, subset
from pairs import pin
from races import ROUNDS, Contender, Race, run
from rivals import Case, forget_measurements, ours, torch_modes

from convbench.select import fastest
from convbench.spec import ConvSpec

DRAWN = 12  # layers of a class drawn from the table


@dataclass(frozen=True)
class Options:
    words: tuple[str, ...]
    rounds: int
    layers: int | None
    algorithm: str | None
    table: Path | None
    seed: int
    threads: int
    cold: bool
    fresh: bool


@dataclass(frozen=True)
class Line:
    """What one race showed of one layer."""

    case: Case
    race: Race
    ours: str
    theirs: str

    @property
    def ratio(self) -> float:
        return self.race.ratio(self.theirs, self.ours).median

    def __str__(self) -> str:
        race, ratio = self.race, self.race.ratio(self.theirs, self.ours)
        errors = " / ".join(f"{self.case.error(race.results[name]):.0e}" for name in (self.ours, self.theirs))
        return (
            f"  {self.case.label[:50]:50} ours {race.median(self.ours) * 1e3:9.4f} ms ({self.ours})"
            f"   other {race.median(self.theirs) * 1e3:9.4f} ms ({self.theirs})"
            f"   ratio {ratio.median:6.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
            f"   peak {race.of_peak(self.ours):4.0%} / {race.of_peak(self.theirs):4.0%}   error {errors}"
        )


@dataclass(frozen=True)
class Row:
    """key: what selects the row; layers(options): its specs, or cases; ours: "auto", "best" or an algorithm's name.

    rivals(case, threads): those of whom the fastest counts; peak: floor of the geometric mean of ours over the peak.
    """

    key: str
    title: str
    floor: float
    layers: Callable[[Options], Sequence[ConvSpec] | Sequence[Case]]
    aim: float | None = None
    ours: str = "auto"
    rivals: Callable[[Case, int], Iterable[Contender]] = lambda case, threads: torch_modes(case, threads, kept="")
    peak: float | None = None
    cold: bool = False

    def cases(self, options: Options) -> list[Case]:
        return [layer if isinstance(layer, Case) else Case(layer) for layer in self.layers(options)]

    def lines(self, options: Options) -> Iterator[str]:
        cold = self.cold or options.cold
        state = "cold: input, prepared weights and output flushed before each call" if cold else "warm"
        yield f"\n{self.key}: {self.title} ({options.algorithm or self.ours}; {state})"
        done = []
        for case in self.cases(options):
            line = duel(case, options, options.algorithm or self.ours, self.rivals, cold)
            done.append(line)
            yield f"{line}{other_choice(line, options, options.algorithm or self.ours)}"
        yield from verdicts(done, self.floor, self.aim, self.peak)


def duel(
    case: Case,
    options: Options,
    algorithm: str,
    rivals: Callable[[Case, int], Iterable[Contender]],
    cold: bool = False,
) -> Line:
    """Ours against the fastest of the rivals."""
    mine = ours(case, algorithm, options.threads, options.fresh)
    others = list(rivals(case, options.threads))
    spec = case.spec
    race = run([mine, *others], spec.flop, dtype=spec.dtype, rounds=options.rounds, threads=options.threads, cold=cold)
    return Line(case, race, mine.name, race.best(rival.name for rival in others))


def other_choice(line: Line, options: Options, algorithm: str) -> str:
    """Where the best of ours was looked for: what ``auto`` would have chosen, if something else."""
    if algorithm != "best":
        return ""
    chosen = fastest(line.case.spec, threads=options.threads).algorithm
    return "" if chosen == line.ours else f"   auto: {chosen}"


def mean(values: Iterable[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))


def verdict(value: float, floor: float) -> str:
    return "holds" if value >= floor else "MISSED"


def verdicts(lines: Sequence[Line], floor: float, aim: float | None, peak: float | None = None) -> Iterator[str]:
    if not lines:
        yield "  no layers of this class in the table"
        return
    least = min(lines, key=lambda line: line.ratio)
    value = mean(line.ratio for line in lines)
    wanted = f"floor {floor:g}" + (f", aim {aim:g}" if aim else "")
    yield (
        f"  geometric mean {value:.2f}, least {least.ratio:.2f} ({least.case.label}), {len(lines)} layers; "
        f"{wanted}: {verdict(value, floor)}"
    )
    shares = [line.race.of_peak(line.ours) for line in lines]
    text = f"  of peak: geometric mean {mean(shares):.0%}, least {min(shares):.0%}"
    yield text if peak is None else f"{text}; floor {peak:.0%}: {verdict(mean(shares), peak)}"


def options(doc: str | None) -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("words", nargs="*", help="first letters of the rows wanted; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--layers", type=int, help="so many layers a row, spread over it")
    parser.add_argument("--algorithm", help="auto, best (tried on the spot) or a name; by default as the row says")
    parser.add_argument("--table", type=Path, help="CSV of real layers with occurrences to draw from")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="ours allocates its output in each call, as rivals do")
    given = vars(parser.parse_args())
    return Options(**{**given, "words": tuple(given["words"])})


def drawn(of: Callable[[ConvSpec], bool]) -> Callable[[Options], list[ConvSpec]]:
    """Layers of a class drawn from the table on the command line, or from the suite in its place."""
    return lambda options: draw(options.table, options.layers or DRAWN, options.seed, of)


def fixed(specs: Callable[[], Sequence[Any]]) -> Callable[[Options], Sequence[Any]]:
    """Always these layers, fewer if ``--layers`` says so."""
    return lambda options: subset(specs(), options.layers)


def main(rows: Sequence[Row], doc: str | None) -> None:
    given = options(doc)
    print(pin(given.threads))
    forget_measurements()
    with inference():
        for row in rows:
            if not given.words or row.key.startswith(given.words):
                for line in row.lines(given):
                    print(line, flush=True)


def inference() -> Any:
    """torch without its autograd bookkeeping, where it is installed."""
    try:
        import torch
    except ImportError:
        return nullcontext()
    return torch.inference_mode()
