"""Which problems, in which shares of the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from convbench import machine
from convbench.bench.samples import Membership, problem_key
from convbench.spec import ConvSpec
from convbench.suites import Problem

LEAST_SHARE = 0.5  # seconds for a problem, even when the budget is over
LONG = 1e-2  # seconds: a problem whose call cannot be faster deserves more than one share
MOST_SHARES = 10.0


@dataclass(frozen=True)
class Task:
    """A problem with every suite that holds it."""

    spec: ConvSpec
    weights: str
    members: tuple[Membership, ...]

    @property
    def key(self) -> str:
        return problem_key(str(self.spec), self.weights)

    @property
    def label(self) -> str:
        return self.members[0].name or str(self.spec)


def tasks(problems: Iterable[Problem]) -> list[Task]:
    """Each different problem once, in the order given."""
    found: dict[tuple[ConvSpec, str], list[Membership]] = {}
    for problem in problems:
        member = Membership(problem.suite or "problems", problem.spec.name, problem.spec.repeats)
        members = found.setdefault((problem.spec, problem.weights), [])
        if member not in members:
            members.append(member)
    return [Task(spec, weights, tuple(members)) for (spec, weights), members in found.items()]


def weight(spec: ConvSpec, here: machine.Machine) -> float:
    """How many shares of the budget a problem deserves: 1 for a small one, up to MOST_SHARES for a long one."""
    floor = max(here.flop_time(spec.flop, spec), here.byte_time(spec.min_bytes))
    return min(MOST_SHARES, 1 + floor / LONG)


class Schedule:
    """Divides ``budget`` seconds from ``start`` on among tasks taken in order; what one leaves, the others get."""

    def __init__(self, todo: Sequence[Task], budget: float, clock: Callable[[], float]) -> None:
        here = machine.current()
        self._weights = [weight(task.spec, here) for task in todo]
        self._budget = budget
        self._clock = clock
        self.start()

    def start(self) -> None:
        self._started = self._clock()

    def share(self, i: int) -> float:
        """Seconds for task i."""
        return max(LEAST_SHARE, self._left() * self._weights[i] / sum(self._weights[i:]))

    def to_go(self, done: int) -> float:
        """Seconds until the end when ``done`` tasks are: at the pace so far, and within the budget."""
        past, rest = sum(self._weights[:done]), sum(self._weights[done:])
        if not past:
            return self._budget if rest else 0.0
        pace = (self._clock() - self._started) * rest / past
        return max(min(self._left(), pace), LEAST_SHARE * (len(self._weights) - done))

    def _left(self) -> float:
        return self._budget - (self._clock() - self._started)
