"""The contenders of a layer: ours by name or choice, torch in its three modes, OpenCV and SciPy on one channel.

Ours take and give plain NCHW arrays with the filter prepared, into an output that the caller owns; a rival reads its
own tensors in the memory format it likes best and allocates its result, as its API does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from pairs import sample
from races import FAR, SAMPLE, Contender, first_time

import convbench
from convbench import machine, peers
from convbench.data import arrays
from convbench.driver import Kernel, kernel
from convbench.kernels.evict import Range, memory
from convbench.reference import outputs
from convbench.select import explain, fastest
from convbench.spec import ConvSpec

TORCH = ("torch_nchw", "torch_channels_last", "torch_prepacked")
NCHW = "torch_nchw"
HOPEFUL = 8  # times the best prediction: the models' errors are smaller
MOST = 4  # candidates tried for the best of ours
WORK = 2e7  # multiply-adds of the oracle for one layer


@dataclass(frozen=True)
class Case:
    """One layer with its operands: ``given``, or of a kind of ``convbench.data``, or "gaussian"."""

    spec: ConvSpec
    kind: str = "normal"
    given: tuple[np.ndarray, np.ndarray] | None = None

    @cached_property
    def operands(self) -> tuple[np.ndarray, np.ndarray]:
        """Input and weight, writable as most users' arrays are."""
        if self.given is not None:
            return self.given
        x, weight, _ = arrays(self.spec, kind="normal" if self.kind == "gaussian" else self.kind)
        if self.kind == "gaussian":
            weight = np.broadcast_to(np.outer(self.line, self.line), self.spec.weight_shape)
        return x.copy(), weight.astype(self.spec.np_dtype, order="C")

    @cached_property
    def line(self) -> np.ndarray:
        """The Gaussian's taps in one dimension."""
        taps = self.spec.filter[-1]
        line = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / (taps / 6)) ** 2)
        return (line / line.sum()).astype(self.spec.np_dtype)

    @property
    def label(self) -> str:
        name = self.spec.name.rpartition(":")[2]  # without the suite
        return f"{shape(self.spec)}" + (f" {name}" if name else "")

    @cached_property
    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Some pixels (m, 1 + ndim), the corners among them, and y* there (m, K) in float64 or better."""
        spec, size = self.spec, (self.spec.N, *self.spec.output_spatial)
        rng = np.random.default_rng(0)
        count = int(np.clip(WORK / (spec.macs / np.prod(size)), 8, 512))
        at = np.stack([rng.integers(0, n, count) for n in size], axis=-1)
        at[0], at[1] = 0, np.array(size) - 1
        return at, outputs(*self.operands, None, spec, at)

    def error(self, y: np.ndarray) -> float:
        """max|y − y*| / max|y*| over those pixels."""
        at, expected = self.truth
        gap = np.abs(np.moveaxis(y, 1, -1)[tuple(at.T)] - expected)
        return float(gap.max() / (np.abs(expected).max() or 1.0))


def shape(spec: ConvSpec) -> str:
    """A layer in a few characters: "2×64→128@56² 3×3/2 g4"; 2×: the batch, /2: the stride, d: dilation, g: groups."""
    sizes, taps = "×".join(map(str, spec.spatial)), "×".join(map(str, spec.filter))
    if spec.ndim > 1 and len(set(spec.spatial)) == 1:
        sizes = f"{spec.spatial[0]}²"
    text = f"{spec.N}×" if spec.N > 1 else ""
    text += f"{spec.C}→{spec.K}@{sizes} {taps}"
    text += f"/{max(spec.stride)}" if max(spec.stride) > 1 else ""
    text += f" d{max(spec.dilation)}" if max(spec.dilation) > 1 else ""
    text += (" dw" if spec.groups == spec.C > 1 else f" g{spec.groups}") if spec.groups > 1 else ""
    return text


def forget_measurements() -> None:
    """Let ``auto`` know nothing of this machine: no choices, shipped constants. Compiled kernels stay where they are.

    (Where those live was decided when ``convbench.kernels.jit`` was imported.)
    """
    os.environ["CONVBENCH_CACHE"] = tempfile.mkdtemp(prefix="convbench-empty-")
    machine.current.cache_clear()


def ours(case: Case, name: str, threads: int = 1, fresh: bool = False, label: str = "") -> Contender:
    """``name``: an algorithm, "auto" (the cost model's choice) or "best" (what a short trial shows to be fastest).

    fresh: every call allocates its output, as a rival's does.
    """
    x, weight = case.operands
    chosen = kernel_of(case, name, threads)
    layer = chosen.prepare(weight)
    out = layer(x)
    call: Callable[[], Any] = partial(layer, x) if fresh else partial(layer, x, out)
    own = [*memory(x), *memory(layer.state), *memory(out)]
    return Contender(label or chosen.algorithm, call, lambda: layer(x, out), lambda: own, chosen.algorithm)


def kernel_of(case: Case, name: str, threads: int = 1) -> Kernel:
    """The kernel that :func:`ours` means by ``name``."""
    if name == "best":
        return best(case, threads)
    return fastest(case.spec, threads=threads) if name == "auto" else kernel(case.spec, name, threads=threads)


def best(case: Case, threads: int = 1) -> Kernel:
    """The kernel of least time in a short trial, of those that ``auto`` may choose and could choose."""
    spec, (x, weight) = case.spec, case.operands
    rows = [row for row in explain(spec, threads=threads).rows if not row.reason and row.kernel is not None]
    limit = HOPEFUL * (rows[0].predicted or 0)
    hopeful = [row.kernel for row in rows[:MOST] if row.kernel and (row.predicted or 0) <= limit]
    times: dict[Kernel, float] = {}
    for candidate in hopeful:
        layer, out = candidate.prepare(weight), np.empty(spec.output_shape, spec.np_dtype)
        call = partial(layer, x, out)
        times[candidate] = first_time(call)
        if times[candidate] <= FAR * min(times.values()):
            repeats = max(1, round(SAMPLE / times[candidate]))
            times[candidate] = min(sample(call, repeats) for _ in range(3))
    return min(hopeful, key=lambda candidate: times[candidate])


def unprepared(case: Case, threads: int = 1) -> Contender:
    """``conv2d(x, w)`` as a user calls it: choice, preparation and a new output in every call."""
    spec, (x, weight) = case.spec, case.operands
    conv = (convbench.conv1d, convbench.conv2d, convbench.conv3d)[spec.ndim - 1]
    call = partial(conv, x, weight, None, spec.stride, spec.padding, spec.dilation, spec.groups, threads=threads)
    return Contender("conv2d", call, call, algorithm="auto")


def torch_in_two(case: Case, threads: int = 1) -> Iterator[Contender]:
    """A 1-D layer as an image of one row, which opens all of torch's modes."""
    spec = case.spec
    wide = ConvSpec(
        (*spec.input_shape[:2], 1, *spec.spatial),
        (*spec.weight_shape[:2], 1, *spec.filter),
        (1, *spec.stride),
        ((0, 0), *spec.padding),
        (1, *spec.dilation),
        spec.groups,
        spec.dtype,
    )
    given = case.operands[0].reshape(wide.input_shape), case.operands[1].reshape(wide.weight_shape)
    for contender in torch_modes(Case(wide, given=given), threads, kept=""):
        yield replace(contender, result=partial(_one_row, contender.result))


def _one_row(result: Callable[[], np.ndarray]) -> np.ndarray:
    return result()[:, :, 0]


def torch_modes(case: Case, threads: int = 1, kept: str = NCHW, names: Iterable[str] = TORCH) -> Iterator[Contender]:
    """The modes that take this problem; the one named ``kept`` is raced however slow it is."""
    for name in names:
        peer = peers.get(name)
        if peer.supports(case.spec) is None:
            yield _peer(case, peer, threads, name == kept)


def _peer(case: Case, peer: peers.Peer, threads: int, kept: bool) -> Contender:
    plan = peer.plan(case.spec, threads, None)
    x, state = peer.load(plan, case.operands[0]), peer.prepare(plan, case.operands[1])
    call = partial(peer.call, plan, x, state, None)

    def ranges() -> Iterator[Range]:
        """Also an output, which lives until its lines are flushed: the allocator hands its memory out again."""
        output = call()
        yield from (*peer.memory(x), *peer.memory(state), *peer.memory(output))

    return Contender(peer.name, call, lambda: peer.export(plan, call()), ranges, kept=kept)


def opencv(case: Case, function: str) -> Contender:
    """``filter2D`` or ``sepFilter2D`` with zeros beyond the edge, on one thread, into an output of its own."""
    import cv2

    cv2.setNumThreads(1)
    x, weight = case.operands
    image, out = x[0, 0], np.empty(case.spec.output_spatial, case.spec.np_dtype)
    taps = (case.line, case.line) if function == "sepFilter2D" else (weight[0, 0],)
    call = partial(getattr(cv2, function), image, -1, *taps, dst=out, borderType=cv2.BORDER_CONSTANT)
    return Contender(function, call, lambda: call()[None, None], kept=True)


def scipy_signal(case: Case, function: str) -> Contender:
    """``convolve2d`` or ``oaconvolve``, mode "same", over all pairs of channels in one call."""
    from scipy import signal

    spec, (x, weight) = case.spec, case.operands
    turned = np.ascontiguousarray(np.flip(weight, axis=tuple(range(2, weight.ndim))))
    if function == "convolve2d":
        call = partial(signal.convolve2d, x[0, 0], turned[0, 0], mode="same")
    elif spec.groups == spec.C:
        call = partial(signal.oaconvolve, x[0], turned[:, 0], mode="same", axes=tuple(range(1, 1 + spec.ndim)))
    else:
        each = np.broadcast_to(x, (spec.K, *x.shape[1:]))  # mode "same" is of the first operand's shape
        whole = partial(signal.oaconvolve, each, turned, mode="same", axes=tuple(range(2, 2 + spec.ndim)))
        return Contender(function, lambda: whole().sum(axis=1), lambda: whole().sum(axis=1)[None], kept=True)
    return Contender(function, call, lambda: call().reshape(spec.output_shape), kept=True)
