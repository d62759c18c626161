"""Every kernel that a run will need, compiled or loaded before anything is timed, and how long that took.

Kernels are compiled by dtype, rank and class of filter, never by size, so small likenesses of a run's problems reach
all of them in milliseconds. A kernel that several algorithms share is charged to the first of them by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from convbench import machine
from convbench.algorithm import Phases, Unsupported
from convbench.bench.contender import find
from convbench.bench.jitclock import JitClock
from convbench.bench.rounds import Emit
from convbench.data import arrays
from convbench.driver import Kernel, Layer
from convbench.peers import Peer
from convbench.spec import ConvSpec

CHANNELS = 32
BEYOND_FILTER = 20  # pixels of a likeness beyond its (dilated) filter
DEAR = 0.02  # seconds: a contender runs likenesses that take longer only if it has run none


def likeness(spec: ConvSpec) -> ConvSpec:
    """``spec`` with one image, at most ``CHANNELS`` channels in and out, and an image little larger than its filter."""
    inside, outside = (min(CHANNELS, channels // spec.groups) for channels in (spec.C, spec.K))
    groups = min(spec.groups, max(1, CHANNELS // max(inside, outside)))
    spatial = (min(n, f + BEYOND_FILTER) for n, f in zip(spec.spatial, spec.effective_filter, strict=True))
    return spec.replace(
        input_shape=(1, groups * inside, *spatial),
        weight_shape=(groups * outside, inside, *spec.filter),
        groups=groups,
        name="",
        repeats=1,
    )


def likenesses(specs: Iterable[ConvSpec]) -> list[ConvSpec]:
    """The different ones among the likenesses of ``specs``, in a fixed order."""
    return sorted({likeness(spec) for spec in specs}, key=str)


def warm(specs: Sequence[ConvSpec], contenders: Sequence[str], emit: Emit) -> None:
    """Run every contender on every likeness that it accepts, on one thread.

    Events: begin, and warm with the seconds of each (algorithm, dtype) spent compiling and loading compiled code, or
    with the error that it died of. The variants that phases are timed in are compiled too, and not counted.
    """
    for name in contenders:
        emit({"event": "begin", "algorithm": name, "stage": "warm-up"})
        for dtype in sorted({spec.dtype for spec in specs}):
            event: dict[str, object] = {"event": "warm", "algorithm": name, "dtype": dtype, "error": ""}
            try:
                with JitClock() as jit:
                    ran = _run(name, [spec for spec in specs if spec.dtype == dtype])
                for layer, x in ran:
                    layer.marked(layer.ticks(), x)
            except Exception as error:
                event["error"] = f"{type(error).__name__}: {error}"
            emit(event | {"compile_s": jit.compiling, "load_s": jit.loading})


def _run(name: str, specs: Sequence[ConvSpec]) -> list[tuple[Layer, np.ndarray]]:
    """The layers that ran, each with its input, if the algorithm has phases."""
    contender = find(name)
    if isinstance(contender, Peer) and contender.available():
        return []
    here, ran = machine.current(), False
    phased: list[tuple[Layer, np.ndarray]] = []
    for spec in sorted(specs, key=lambda spec: spec.macs):
        x, weight, bias = arrays(spec)
        try:
            kernel = Kernel(contender, spec, 1, None, "warm-up")
            if ran and contender.cost(kernel.plan, here) > DEAR:
                continue
            layer = kernel.prepare(weight, bias)
        except Unsupported:
            continue
        layer(x)
        ran = True
        if isinstance(contender.run, Phases):
            phased.append((layer, x))
    return phased
