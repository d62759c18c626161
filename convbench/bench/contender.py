"""One algorithm or rival made ready for one problem, with each of its costs taken apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from convbench import algorithm as registry
from convbench import peers
from convbench.algorithm import Algorithm, Phases, Unsupported
from convbench.bench.environment import Facts
from convbench.bench.jitclock import JitClock
from convbench.bench.orders import ALL_COLD, HOT
from convbench.bench.rounds import Chill, Clock
from convbench.driver import Kernel, Layer, kept_scratch, worthwhile
from convbench.kernels.evict import cannot_evict, evict, memory
from convbench.layouts import logical
from convbench.machine import Machine
from convbench.peers import Peer
from convbench.spec import ConvSpec
from convbench.verify import Truth, Verdict, judge

PREPARATIONS = 3
CHEAP = 0.02  # seconds: preparations that last longer are timed once


def find(name: str) -> Algorithm:
    """An algorithm of ours, or a rival. UnknownAlgorithm, with the nearest name, if it is neither."""
    return peers.peers()[name] if name in peers.peers() else registry.get(name)


class Contender:
    """A planned algorithm. Raises Unsupported where it does not apply, or is a rival that is not installed."""

    def __init__(
        self,
        contender: Algorithm,
        spec: ConvSpec,
        threads: int,
        workspace_limit: int | None,
        machine: Machine,
        clock: Clock,
    ) -> None:
        self.name = contender.name
        self.peer = isinstance(contender, Peer)
        self._algorithm = contender
        self._given = (workspace_limit, machine, clock)
        self._clock = clock
        missing = contender.available() if isinstance(contender, Peer) else None
        if isinstance(contender, Peer) and spec.layout != "NCHW":
            missing = missing or "rivals are raced on NCHW"
        if reason := missing or contender.supports(spec):
            raise Unsupported(reason)
        self.spec = spec
        threads = threads if self.peer else worthwhile(contender, spec, threads)
        self._kernel = Kernel(contender, spec, threads, workspace_limit, "benchmark")
        plan = self._kernel.plan
        self.predicted = self._kernel.predicted(machine)
        self.call: Callable[..., Any] = lambda: None
        self.layer: Layer | None = None
        self.x: Any = None
        self._state: Any = None
        self.facts: Facts = {
            "peer": int(self.peer),
            "kernel_threads": self._kernel_threads(threads),
            "predicted_s": self.predicted,
            "workspace_bytes": self._kernel.workspace_bytes,
            "library_bytes": contender.library_bytes(plan),
            "bound": self._kernel.error_bound,
            "executed_flop": float(contender.executed_flop(plan)),
        }

    def prepare(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
        """Time the preparation (its median of three while it is cheap) and bind ``call`` to these operands."""
        self._operands = (x, weight, bias)
        (layer, state), seconds = self._apart(self._prepared)
        times = [seconds]
        while seconds < CHEAP and len(times) < PREPARATIONS:
            (layer, state), seconds = self._apart(self._prepared)
            times.append(seconds)
        self.facts["prepare_s"] = median(times)
        self.layer, self._state = layer, state
        if isinstance(self._algorithm, Peer):
            self.x = self._algorithm.load(self._kernel.plan, x)
            self.call = partial(self._algorithm.call, self._kernel.plan, self.x, state, layer.bias)
        else:
            self.x = x
            self.call = partial(layer, x)

    def _prepared(self) -> tuple[Layer, Any]:
        """The layer, and its state as a call takes it."""
        layer = self._kernel.prepare(*self._operands[1:])
        if isinstance(self._algorithm, Peer):
            return layer, self._algorithm.bind(self._kernel.plan, layer.state, layer.bias)
        return layer, layer.state

    def chill(self, cache: str) -> Chill | None:
        """Puts out of the caches what ``cache`` says is cold there, given the last result; None for hot caches.

        Unsupported where that cannot be done. Only once ``prepare`` has been called.
        """
        if cache == HOT:
            return None
        assert self.layer is not None
        parts = self._algorithm.memory if isinstance(self._algorithm, Peer) else memory
        cold = list(parts(self._state))
        if reason := cannot_evict() or (None if cold else f"{self.name} hides its weights; they cannot be made cold"):
            raise Unsupported(reason)
        cold += memory(self.layer.bias)
        if cache == ALL_COLD:
            cold += parts(self.x)

        def chill(result: object) -> None:
            evict(cold)
            if cache == ALL_COLD:
                evict(parts(result))
                evict(memory(kept_scratch()))

        self.facts["cold_bytes"] = sum(nbytes for _, nbytes in cold)
        return chill

    def first(self, truth: Truth) -> Verdict:
        """Make and time the first call, and judge what it wrote. Ours write into an output full of NaN."""
        algorithm = self._algorithm
        if isinstance(algorithm, Peer):
            native, seconds = self._apart(self.call)
            y = algorithm.export(self._kernel.plan, native)
        else:
            out = np.full(self.spec.stored_output_shape, np.nan, self.spec.np_dtype)
            y, seconds = self._apart(partial(self.call, out=out))
            y = logical(y, self.spec.layout, self.spec.K)
        self.facts["first_s"] = seconds
        verdict = judge(algorithm, self.spec, y, truth, self._kernel.error_bound)
        self.facts |= {"error": verdict.error, "relative_error": verdict.relative_error}
        return verdict

    def on(self, threads: int) -> Contender:
        """The same, prepared, on another number of threads."""
        other = Contender(self._algorithm, self.spec, threads, *self._given)
        other.prepare(*self._operands)
        return other

    def alone(self) -> Layer | None:
        """The layer on one thread, for its phases to be timed; None where the algorithm has none."""
        if not isinstance(self._algorithm.run, Phases):
            return None
        return self.layer if self.facts["kernel_threads"] == 1 else self.on(1).layer

    def _kernel_threads(self, threads: int) -> int:
        """Threads that the plan uses: one where there is no plan but the problem itself."""
        plan = self._kernel.plan
        return threads if self.peer else 1 if isinstance(plan, ConvSpec) else getattr(plan, "threads", threads)

    def release(self) -> None:
        """Let go of weights, scratch and operands."""
        self.call = lambda: None
        self.layer = self.x = self._state = None

    def _apart(self, call: Callable[..., Any]) -> tuple[Any, float]:
        """(result, seconds) of a call, without what Numba compiled or loaded in it; that is ``late_jit_s``."""
        with JitClock() as jit:
            start = self._clock()
            result = call()
            elapsed = self._clock() - start
        if jit.total:
            self.facts["late_jit_s"] = float(self.facts.get("late_jit_s", 0.0)) + jit.total
        return result, max(elapsed - jit.total, 1e-9)
