"""``python guarded.py ALGORITHM COUNT SEED``: run an algorithm with every operand flush against unreadable pages.

Each of COUNT drawn problems is prepared and runs twice: with all operands directly behind an unreadable page, then
directly before one. What must not be written lies in read-only pages meanwhile. Every case is printed before it starts,
so that the last line of a run that died tells which it was. Exit codes: 0 all right, 1 a wrong answer, a signal for a
fault.
"""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import mmap
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, get
from convbench.driver import Kernel
from convbench.spec import ConvSpec, SpecError
from convbench.verify import judge, truth

PAGE = mmap.PAGESIZE
NO_ACCESS, READ, READ_WRITE = 0, 1, 3
MOST_MACS = 2_000_000  # multiply-adds of a drawn problem


class Arena:
    """Pages for one array between two that cannot be touched."""

    def __init__(self, nbytes: int) -> None:
        self.capacity = max(1, -(-nbytes // PAGE)) * PAGE
        self.memory = mmap.mmap(-1, self.capacity + 2 * PAGE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self._protect(self.start, PAGE, NO_ACCESS)
        self._protect(self.start + PAGE + self.capacity, PAGE, NO_ACCESS)

    @staticmethod
    def _protect(address: int, nbytes: int, access: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(nbytes), access):
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def allow(self, access: int) -> None:
        self._protect(self.start + PAGE, self.capacity, access)

    def place(self, shape: tuple[int, ...], dtype: np.dtype, at_end: bool, alignment: int) -> np.ndarray:
        """An array of NaN bytes at the first or at the last aligned address."""
        self.allow(READ_WRITE)
        room = (self.capacity - prod(shape) * dtype.itemsize) // alignment * alignment
        np.frombuffer(self.memory, np.uint8, self.capacity, PAGE)[:] = 0xFF
        return np.ndarray(shape, dtype, self.memory, PAGE + at_end * room)


class Guard:
    """Arenas by role, reused from case to case."""

    def __init__(self) -> None:
        self._arenas: dict[str, Arena] = {}

    def empty(self, role: str, shape: tuple[int, ...], dtype: Any, at_end: bool, alignment: int = 0) -> np.ndarray:
        dtype = np.dtype(dtype)
        nbytes = prod(shape) * dtype.itemsize
        if role not in self._arenas or self._arenas[role].capacity < nbytes:
            self._arenas[role] = Arena(2 * nbytes)
        return self._arenas[role].place(shape, dtype, at_end, alignment or dtype.itemsize)

    def copy(self, role: str, value: Any, at_end: bool) -> Any:
        """``value`` with every C-contiguous array in it copied to guarded, read-only pages."""
        if isinstance(value, np.ndarray) and value.flags.c_contiguous and not value.dtype.hasobject:
            aligned = 64 if value.ctypes.data % 64 == 0 and value.nbytes % 64 == 0 else value.itemsize
            array = self.empty(role, value.shape, value.dtype, at_end, aligned)
            array[...] = value
            self._arenas[role].allow(READ)
            return array
        if isinstance(value, tuple | list):
            items = [self.copy(f"{role}.{i}", item, at_end) for i, item in enumerate(value)]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        if isinstance(value, dict):
            return {key: self.copy(f"{role}.{key}", item, at_end) for key, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type | ConvSpec):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return dataclasses.replace(value, **self.copy(role, fields, at_end))  # type: ignore[type-var]
        return value


def draw(rng: random.Random) -> ConvSpec:
    """An odd little problem; styles of filters and groups that families specialise in come up often."""
    while True:
        ndim = rng.choice((1, 2, 2, 2, 3))
        style = rng.choice(("any", "any", "3", "1", "depthwise"))
        scale = rng.choice((1, 1, 1, 4))  # now and then several blocks of pixels, channels and tiles
        most = {1: 160, 2: 23, 3: 8}[ndim] * scale
        spatial = [rng.randint(1, most) for _ in range(ndim)]
        square = {"3": 3, "1": 1}.get(style)
        filter = [square or rng.choice((1, 2, 3, 3, 4, 5, 7)) for _ in range(ndim)]
        plain = style == "3" and rng.random() < 0.7
        groups = rng.randint(1, 20) if style == "depthwise" else rng.choice((1, 1, 1, 2, 3))
        C = groups * (1 if style == "depthwise" else rng.randint(1, 12 * scale))
        K = groups * (rng.randint(1, 3) if style == "depthwise" else rng.randint(1, 40 * scale // groups))
        try:
            spec = ConvSpec(
                (rng.randint(1, 3), C, *spatial),
                (K, C // groups, *filter),
                stride=1 if plain else [rng.choice((1, 1, 1, 2, 3)) for _ in filter],
                padding=[(rng.randint(0, k), rng.randint(0, k)) for k in filter],
                dilation=1 if plain else [rng.choice((1, 1, 1, 2, 3)) for _ in filter],
                groups=groups,
                dtype=rng.choice(("float32", "float64")),
            )
        except SpecError:
            continue
        if spec.macs <= MOST_MACS:
            return spec


def kernels(algorithm: Algorithm, count: int, seed: int) -> Iterator[Kernel]:
    """``count`` problems that the algorithm supports, planned for one thread or two, some with little scratch."""
    rng = random.Random(seed)
    while count:
        spec, threads, tight = draw(rng), rng.choice((1, 1, 2)), rng.random() < 0.3
        if algorithm.supports(spec) is not None:
            continue
        planned = Kernel(algorithm, spec, threads, None, "guarded")
        if tight:
            with suppress(Unsupported):
                planned = Kernel(algorithm, spec, threads, planned.workspace_bytes // 2, "guarded")
        count -= 1
        yield planned


def main(name: str, count: int, seed: int) -> int:
    algorithm, guard = get(name), Guard()
    for planned in kernels(algorithm, count, seed):
        facts = truth(planned.spec)
        x, w, bias = facts.operands
        biased = planned.workspace_bytes % 128 == 0 or planned.spec.K % 2 == 0
        if not biased:
            plain = facts.expected - bias.reshape(-1, *(1 for _ in planned.spec.filter))
            facts = facts._replace(expected=plain)
        for at_end in (False, True):
            side = "before" if at_end else "behind"
            print(
                f"{name} on {planned.spec}, {planned.threads} threads, operands {side} an unreadable page", flush=True
            )
            state = algorithm.prepare(planned.plan, guard.copy("weight", w, at_end))
            y = guard.empty("y", planned.spec.output_shape, planned.spec.dtype, at_end)
            algorithm.run(
                planned.plan,
                guard.copy("x", x, at_end),
                guard.copy("state", state, at_end),
                guard.copy("bias", bias, at_end) if biased else None,
                y,
                guard.empty("work", (planned.workspace_bytes,), np.uint8, at_end, 64),
            )
            verdict = judge(algorithm, planned.spec, y, facts, planned.error_bound)
            if not verdict.ok:
                print(f"wrong answer: {verdict.reason}", flush=True)
                return 1
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
