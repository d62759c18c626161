"""The driver: validates operands once, owns scratch and output, calls the algorithm's functions."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from convbench.algorithm import Algorithm, Phases, Unsupported, get
from convbench.arguments import integer
from convbench.kernels.layout import aligned_copy, aligned_empty, carve, scratch_bytes
from convbench.kernels.relayout import from_planes, to_planes
from convbench.kernels.threads import OneThread, available, most
from convbench.kernels.ticks import CALL, start, tick, tick_seconds
from convbench.machine import Machine, current
from convbench.operands import operand, output
from convbench.scratch import NOTHING, SHARED
from convbench.spec import ConvSpec, SpecError

HANDOVER = 5e-5  # seconds until another thread has taken work over and its end is known


def kept_scratch() -> tuple[np.ndarray, ...]:
    """The buffers that wait for the next calls: what a run with cold caches flushes."""
    return SHARED.kept()


def _rest(limit: int | None, own: int, spec: ConvSpec) -> int | None:
    """What ``limit`` leaves for the algorithm beside ``own`` bytes of images; Unsupported if not even those fit."""
    if limit is None:
        return None
    if own > limit:
        raise Unsupported(f"the images of {spec} in NCHW need {own} bytes of workspace; the limit is {limit}")
    return limit - own


class Kernel:
    """A planned algorithm for one problem: ``kernel(input, weight, bias=None, out=None)`` pays everything each call.

    ``algorithm`` name · ``plan`` · ``threads`` · ``workspace_bytes`` scratch that a call uses · ``error_bound``
    of max|y − y*| / max √(x² ⋆ w²), for products of either sign (``algorithm.direct_error``) · ``why`` one line: how it
    was chosen. Safe to call from several threads.

    Algorithms work on NCHW: input and output of another layout pass through images in the scratch, counted in it.
    """

    def __init__(
        self, algorithm: Algorithm, spec: ConvSpec, threads: int, workspace_limit: int | None, why: str
    ) -> None:
        dilation = tuple(1 if taps == 1 else d for taps, d in zip(spec.filter, spec.dilation, strict=True))
        planned = spec.replace(layout="NCHW", dilation=dilation)  # of one tap, a dilation means nothing
        reason = algorithm.supports(planned)
        if reason is not None:
            raise Unsupported(f"{algorithm.name} cannot solve {spec}: {reason}")
        self._algorithm = algorithm
        self.algorithm = algorithm.name
        self.spec = spec
        self.threads = threads
        if not spec.N:  # an empty batch never runs
            planned = planned.replace(input_shape=(1, *spec.input_shape[1:]))
        shapes = (planned.input_shape, planned.output_shape) if spec.layout != "NCHW" else ()
        self._images = [(shape, spec.np_dtype) for shape in shapes]
        self._own = scratch_bytes(self._images)
        self.plan = algorithm.plan(planned, threads, _rest(workspace_limit, self._own, spec))
        self._unprepared = algorithm.unprepared(self.plan)
        self.workspace_bytes = self._own + max(int(algorithm.workspace(some)) for some in (self.plan, self._unprepared))
        if workspace_limit is not None and self.workspace_bytes > workspace_limit:
            raise Unsupported(
                f"{algorithm.name} needs {self.workspace_bytes} bytes of workspace for {spec}; "
                f"the limit is {workspace_limit}"
            )
        self.error_bound = float(algorithm.error(self.plan))
        self.why = why
        run = algorithm.run
        self._phased = isinstance(run, Phases)
        self._solve = run.run if isinstance(run, Phases) else run
        self._dtype = spec.np_dtype
        self._input_shape, self._output_shape = spec.stored_input_shape, spec.stored_output_shape

    def __repr__(self) -> str:
        return f"<Kernel {self.algorithm} for {self.spec}: {self.why}>"

    def __call__(self, input: Any, weight: Any, bias: Any = None, out: np.ndarray | None = None) -> np.ndarray:
        """input (N, C, …), weight (K, C/G, …), bias (K,) or None -> output (N, K, …), in ``out`` if given."""
        x = operand(input, self._input_shape, self._dtype, "input", self.spec)
        w, b = self._weight(weight), None if bias is None else self._bias(bias)
        y = np.empty(self._output_shape, self._dtype) if out is None else self._output(out, input, weight, bias)
        if y.size:
            plan = self._unprepared
            self._run(plan, x, self._algorithm.prepare(plan, w), b, y)
        return y if out is None else _delivered(y, out)

    def prepare(self, weight: Any, bias: Any = None) -> Layer:
        """Pay the filter's transform or packing once. The layer keeps copies: later edits of weight change nothing."""
        weight, bias = aligned_copy(self._weight(weight)), self._bias(bias)
        return Layer(self, self._algorithm.prepare(self.plan, weight), None if bias is None else bias.copy())

    def _input(self, input: Any) -> np.ndarray:
        return operand(input, self._input_shape, self._dtype, "input", self.spec)

    def _weight(self, weight: Any) -> np.ndarray:
        return operand(weight, self.spec.weight_shape, self._dtype, "weight")

    def _bias(self, bias: Any) -> np.ndarray | None:
        return None if bias is None else operand(bias, (self.spec.K,), self._dtype, "bias")

    def _output(self, out: np.ndarray | None, *reads: Any) -> np.ndarray:
        if out is None:
            return np.empty(self._output_shape, self._dtype)
        return output(out, self._output_shape, self._dtype, reads)

    def poison(self) -> None:
        """Make the next call's scratch all NaN bytes, so that reading it before writing it shows."""
        if self.workspace_bytes:
            work = aligned_empty((self.workspace_bytes,), np.uint8)
            work[:] = 0xFF
            SHARED.put(work)

    def _run(self, plan: Any, x: np.ndarray, state: Any, bias: np.ndarray | None, y: np.ndarray) -> None:
        if not self.workspace_bytes:
            self._solve(plan, x, state, bias, y, NOTHING)
            return
        buffer = SHARED.borrow(self.workspace_bytes)
        work = buffer[: self.workspace_bytes]
        if self._images:
            before, after = carve(work[: self._own], self._images)
            to_planes(x, before, self.spec.layout, self.threads)
            self._solve(plan, before, state, bias, after, work[self._own :])
            from_planes(after, y, self.spec.layout, self.threads)
        else:
            self._solve(plan, x, state, bias, y, work)
        SHARED.give_back(buffer)

    @property
    def plans_apart(self) -> bool:
        """Whether calls that prepare the filter have a plan of their own."""
        return self._unprepared is not self.plan

    @property
    def phases(self) -> tuple[str, ...]:
        """What a call's time is divided into: "call" is what lies outside the marks; one, "run", if nothing is known.

        "convert", if there, moves images between NCHW and another layout.
        """
        run = self._algorithm.run
        known = ("call", *run.names) if isinstance(run, Phases) else ("run",)
        return (*known, "convert") if self._images else known

    def _run_marked(self, x: np.ndarray, state: Any, bias: np.ndarray | None, y: np.ndarray, ticks: np.ndarray) -> None:
        """What ``_run`` does, from code with marks between the phases."""
        marks, layout, convert = (ticks,) if self._phased else (), self.spec.layout, len(ticks) - 2
        buffer = SHARED.borrow(self.workspace_bytes)
        work = buffer[: self.workspace_bytes]
        if self._images:
            before, after = carve(work[: self._own], self._images)
            to_planes(x, before, layout, self.threads)
            tick(ticks, convert)
            self._solve(self.plan, before, state, bias, after, work[self._own :], *marks)
            tick(ticks, CALL)
            from_planes(after, y, layout, self.threads)
            tick(ticks, convert)
        else:
            tick(ticks, CALL)
            self._solve(self.plan, x, state, bias, y, work, *marks)
        SHARED.give_back(buffer)

    def predicted(self, machine: Machine, prepared: bool = True) -> float:
        """Seconds of a call: the algorithm's cost, its threads' hand-over, images of another layout moved.

        Unless ``prepared``, the filter's preparation as well.
        """
        algorithm, plan = self._algorithm, self.plan if prepared else self._unprepared
        own = algorithm.cost(plan, machine) + (0.0 if prepared else algorithm.prepare_cost(plan, machine))
        moved = 2 * sum(prod(shape) for shape, _ in self._images) * self.spec.itemsize
        shared = HANDOVER if self.threads > 1 else 0.0
        return float(own) + shared + machine.byte_time(moved, self.threads)


class Layer:
    """A kernel with its filter prepared: ``layer(input, out=None)``. Made by :meth:`Kernel.prepare`."""

    def __init__(self, kernel: Kernel, state: Any, bias: np.ndarray | None) -> None:
        self.kernel = kernel
        self.state = state
        self.bias = bias
        self._quick = None if kernel._images or not kernel.spec.N else kernel._algorithm.quick(kernel.plan, state, bias)

    def __call__(self, input: Any, out: np.ndarray | None = None) -> np.ndarray:
        """input (N, C, …) -> output (N, K, …), in ``out`` if given."""
        kernel = self.kernel
        quick = self._quick
        if quick is not None and type(input) is np.ndarray and input.dtype is kernel._dtype:
            y = np.empty(kernel._output_shape, kernel._dtype) if out is None else out
            try:
                if type(y) is np.ndarray and y.dtype is kernel._dtype and quick(input, y):
                    return y
            except Exception:  # Numba's, of several kinds: it has no code for such arguments, and took long to say so
                self._quick = _after_a_look(quick, kernel._input_shape, kernel._output_shape)
        x = operand(input, kernel._input_shape, kernel._dtype, "input", kernel.spec)
        y = np.empty(kernel._output_shape, kernel._dtype) if out is None else kernel._output(out, input)
        if y.size:
            kernel._run(kernel.plan, x, self.state, self.bias, y)
        return y if out is None else _delivered(y, out)

    def time_phases(self, input: Any, out: np.ndarray | None = None) -> dict[str, float]:
        """Seconds of one call on one thread by phase, in the order of ``Kernel.phases``; an empty batch has none.

        The call runs a variant of the code that was compiled with marks between the phases (``kernels/ticks.py``),
        which no ordinary call runs, and the phases add up to that call.
        """
        ticks = self.ticks()
        self.marked(ticks, input, out)
        return self.seconds(ticks)

    def ticks(self) -> np.ndarray:
        """An array for :meth:`marked`."""
        return np.zeros(1 + len(self.kernel.phases), np.int64)

    def seconds(self, ticks: np.ndarray) -> dict[str, float]:
        """By phase, what :meth:`marked` found."""
        spent, rate = ticks[1:], tick_seconds()
        return {name: float(n) * rate for name, n in zip(self.kernel.phases, spent, strict=True)} if spent.any() else {}

    def marked(self, ticks: np.ndarray, input: Any, out: np.ndarray | None = None, calls: int = 1) -> None:
        """Calls of the variant, on one thread; ``ticks``: the counter at their end, then those of each phase in all."""
        start(ticks)
        for _ in range(calls):
            self._marked(ticks, input, out)

    def _marked(self, ticks: np.ndarray, input: Any, out: np.ndarray | None) -> None:
        kernel = self.kernel
        x, y = kernel._input(input), kernel._output(out, input)
        if y.size:
            with OneThread():
                kernel._run_marked(x, self.state, self.bias, y, ticks)
            _delivered(y, out)
            tick(ticks, CALL)


def _after_a_look(
    quick: Callable[[Any, Any], bool], inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> Callable[[Any, Any], bool]:
    """``quick`` of a layer that was once given arrays for which it has no code: read-only ones, for example."""

    def call(x: np.ndarray, y: np.ndarray) -> bool:
        fit = x.shape == inputs and y.shape == outputs and x.flags.carray and y.flags.carray
        return fit and quick(x, y)

    return call


def _delivered(y: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    if out is None or y is out:
        return y
    out[...] = y
    return out


def checked_limits(threads: Any, workspace_limit: Any = None) -> tuple[int | None, int | None]:
    """Both, as Python integers or None; SpecError unless 1 ≤ threads ≤ what a machine may have, workspace_limit ≥ 0."""
    return (
        None if threads is None else integer("threads", threads, 1, most()),
        None if workspace_limit is None else integer("workspace_limit", workspace_limit, 0),
    )


def worthwhile(algorithm: Algorithm, spec: ConvSpec, threads: int) -> int:
    """``threads``, or 1 where one thread is expected to be done about when a second one has begun.

    Raises Unsupported, as :class:`Kernel` does.
    """
    if threads == 1:
        return 1
    alone = Kernel(algorithm, spec, 1, None, "").predicted(current())
    return threads if alone > 4 * HANDOVER else 1


def kernel(spec: ConvSpec, name: str, *, threads: int | None = None, workspace_limit: int | None = None) -> Kernel:
    """The named algorithm, planned for this problem.

    threads: exactly so many, up to 16 or the machine's processors; None for those available, but one for a problem
    too small to share.
    Raises UnknownAlgorithm for a name nobody registered, Unsupported (with the reason) where the algorithm cannot
    solve the problem or not within ``workspace_limit`` bytes, SpecError for a thread count or limit out of range.
    """
    if not isinstance(spec, ConvSpec):
        raise SpecError(f"spec must be a ConvSpec, not {type(spec).__name__}")
    threads, workspace_limit = checked_limits(threads, workspace_limit)
    algorithm = get(name)
    threads = worthwhile(algorithm, spec, available()) if threads is None else threads
    return Kernel(algorithm, spec, threads, workspace_limit, f"{name}: asked for by name")
