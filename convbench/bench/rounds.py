"""Interleaved rounds: every contender once a round, in an order drawn anew, with a probe of the machine before each.

A sample lasts at least ``LEAST_SAMPLE``, so fast contenders are called in a loop. With hot caches an untimed call
precedes every sample shorter than ``LONG_CALL``: the others, and the bandwidth probe, have pushed its data out of the
caches. With cold ones an untimed call precedes every sample, each call is timed alone, and before it the contender's
memory is put out of the caches. After a contender whose threads ``linger`` the round waits until they sleep: they would
take the next one's core. Time comes from the ``clock`` given, so tests need none.

There are rounds until the ratios of all contenders that are not beaten are known to ± ``NARROW``, by the statistics of
the report, or the time is over. That rule looks at widths, never at who is ahead: equal contenders stay tied
(``tests/test_rounds.py`` simulates it, ``benchmarks/trust.py`` measures it).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

from convbench.bench.stats import known

LEAST_SAMPLE = 3e-4  # seconds
LONG_CALL = 1e-2  # seconds: longer calls bring their own data into the caches
A_TURN = 5e-2  # seconds that the scheduler of a busy machine may give to others
LEAST_ROUNDS = 6  # fewer give no 95% interval
MOST_ROUNDS = 100
NARROW = 0.015  # half-width of an interval, of its median, that needs no more rounds
LOOK = 3  # rounds between two looks at the intervals
BEATEN = 1.5  # times the best, in every one of the first rounds: no more rounds can make it a winner
MOST_LOOPS = 100_000
MOST_COLD_LOOPS = 10  # putting memory out of the caches takes longer than many a call


Clock = Callable[[], float]
Emit = Callable[[dict[str, object]], None]
Chill = Callable[[object], None]
"""Puts memory out of the caches, that of the last call's result among it."""


@dataclass
class Racer:
    """A contender in the race: ``seconds`` per call as calibrated, and ``loops`` calls a sample.

    ``chill``, if caches are to be cold, takes ``chill_seconds``. ``linger``: seconds for which its threads go on
    spinning when a call has ended.
    """

    name: str
    call: Callable[[], object]
    seconds: float
    loops: int
    chill: Chill | None = None
    chill_seconds: float = 0.0
    linger: float = 0.0

    @property
    def round_seconds(self) -> float:
        """What one round costs: the sample, the call that warms the caches, and what it leaves behind."""
        untimed = self.seconds < LONG_CALL or self.chill is not None
        return self.seconds * (self.loops + untimed) + self.chill_seconds * self.loops + self.linger


def calibrated(name: str, call: Callable[[], object], clock: Clock, chill: Chill | None = None) -> Racer:
    """Find the loop count: ten times more calls until they take half of a sample; not for a first call.

    Short times are taken twice, and the lesser one counts: a process that has to wait for its turn looks hopeless.
    """
    if chill is not None:
        return _chilled(Racer(name, call, 0.0, 1, chill), clock)
    loops = 1
    while True:
        elapsed = timed(call, loops, clock)
        if elapsed < A_TURN:
            elapsed = min(elapsed, timed(call, loops, clock))
        if elapsed >= LEAST_SAMPLE / 2 or loops >= MOST_LOOPS:
            break
        loops = min(10 * loops, MOST_LOOPS)
    seconds = max(elapsed / loops, 1e-9)
    return Racer(name, call, seconds, min(MOST_LOOPS, max(1, ceil(LEAST_SAMPLE / seconds))))


def _chilled(racer: Racer, clock: Clock) -> Racer:
    start = clock()
    seconds = max(_cold_sample(racer, clock), 1e-9)
    chill_seconds = max(0.0, clock() - start - 2 * seconds)
    loops = min(MOST_COLD_LOOPS, max(1, ceil(LEAST_SAMPLE / seconds)))
    return Racer(racer.name, racer.call, seconds, loops, racer.chill, chill_seconds)


def timed(call: Callable[[], object], loops: int, clock: Clock) -> float:
    """Seconds that ``loops`` calls take together."""
    repeat = range(loops)
    start = clock()
    for _ in repeat:
        call()
    return clock() - start


def sample(racer: Racer, clock: Clock) -> float:
    """Seconds per call."""
    if racer.chill is not None:
        return _cold_sample(racer, clock)
    if racer.seconds < LONG_CALL:
        racer.call()
    return timed(racer.call, racer.loops, clock) / racer.loops


def _cold_sample(racer: Racer, clock: Clock) -> float:
    """The mean of calls timed one by one. Each result lives until the next call, which then gets the same memory."""
    assert racer.chill is not None
    result: object = racer.call()
    spent = 0.0
    for _ in range(racer.loops):
        racer.chill(result)
        result = None
        start = clock()
        result = racer.call()
        spent += clock() - start
    return spent / racer.loops


def affordable(costs: Mapping[str, float], seconds: float) -> dict[str, int]:
    """Rounds for each contender within ``seconds``: ``LEAST_ROUNDS``, fewer for the dearest ones, but one for all.

    The cheapest choose first, so that nobody has fewer rounds because somebody slower is in the race.
    """
    rounds = {}
    for name in sorted(costs, key=costs.__getitem__):
        rounds[name] = max(1, min(LEAST_ROUNDS, int(seconds / costs[name])))
        seconds -= costs[name] * rounds[name]
    return rounds


def race(
    racers: Sequence[Racer],
    probes: Mapping[str, Callable[[], object]],
    seconds: float,
    clock: Clock,
    rng: Random,
    emit: Emit,
    narrow: float = NARROW,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Run rounds until the ratios are known to ± ``narrow``, or ``seconds`` are over; samples go out through ``emit``.

    probes: "stream" runs once at the start of a round, "fma" before every sample. Events: begin, sample, probe.
    """
    end = clock() + seconds
    quota = affordable({racer.name: racer.round_seconds for racer in racers}, seconds)
    taken: dict[str, list[float]] = {racer.name: [] for racer in racers}
    for i in range(MOST_ROUNDS):
        entrants = [racer for racer in racers if i < quota[racer.name] or (i >= LEAST_ROUNDS and _live(racer, taken))]
        cost = sum(racer.round_seconds for racer in entrants)
        if not entrants or (i >= LEAST_ROUNDS and (clock() + cost > end or _settled(entrants, taken, narrow))):
            return
        rng.shuffle(entrants)
        readings = []
        emit({"event": "probe", "probe": "stream", "round": i, "seconds": timed(probes["stream"], 1, clock)})
        for racer in entrants:
            emit({"event": "begin", "algorithm": racer.name, "stage": f"round {i}"})
            readings.append(timed(probes["fma"], 1, clock))
            seconds_per_call = sample(racer, clock)
            if racer.linger:
                pause(racer.linger)
            taken[racer.name].append(seconds_per_call)
            emit(
                {
                    "event": "sample",
                    "algorithm": racer.name,
                    "round": i,
                    "seconds": seconds_per_call,
                    "beside": readings[-1],
                }
            )
        middle = sorted(readings)[len(readings) // 2]
        emit({"event": "probe", "probe": "fma", "round": i, "seconds": middle})


def _settled(entrants: Sequence[Racer], taken: Mapping[str, list[float]], narrow: float) -> bool:
    """Whether all but one are beaten, or those that are not are known well enough."""
    if len(entrants) == 1 < len(taken):
        return True
    if len(taken[entrants[0].name]) % LOOK:
        return False
    rounds = {name: dict(enumerate(seconds)) for name, seconds in taken.items()}
    return known(rounds, [racer.name for racer in entrants], narrow)


def _live(racer: Racer, taken: Mapping[str, list[float]]) -> bool:
    """Whether more rounds could matter: it ran them all so far and was not beaten in each."""
    mine = taken[racer.name]
    full = max(map(len, taken.values()))
    if len(mine) < full:
        return False
    best = [min(other[i] for other in taken.values() if i < len(other)) for i in range(full)]
    return any(seconds < BEATEN * least for seconds, least in zip(mine, best, strict=True))
