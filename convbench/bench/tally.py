"""Collects what the workers report of one problem, over as many processes as it takes, into a ``Result``."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from convbench.bench.environment import Facts
from convbench.bench.samples import PROBES, Cell, Membership, Result, Series

RETRYABLE = ("ok", "weak test")


class Tally:
    """``take`` every event; ``blame`` the contender at work when its process ended; ``result`` in the end.

    ``costs``: facts of each contender known beforehand (compile_s, cache_load_s, repro, peer), added to its cell.
    """

    def __init__(self, contenders: Sequence[str], costs: Mapping[str, Facts], lost: Mapping[str, str]) -> None:
        self._costs = costs
        self._cells = {name: Cell(name, "crashed", reason) for name, reason in lost.items() if name in contenders}
        self._waiting = [name for name in contenders if name not in lost]
        self._process = -1
        self._at: tuple[str, str] = ("", "")
        self._hello: dict[str, float] = {}
        self._probes: dict[str, dict[int, Series]] = {probe: {} for probe in PROBES}
        self._probe_facts: dict[str, Facts] = {}
        self.facts: Facts = {}

    @property
    def waiting(self) -> tuple[str, ...]:
        """Contenders that another process may still measure: those that have not failed, been skipped or given up."""
        return tuple(self._waiting)

    def begin(self) -> None:
        """A new worker process takes over."""
        self._process += 1
        self._at = ("", "")

    def take(self, event: Mapping[str, Any]) -> None:
        """Note one event of the worker."""
        match event["event"]:
            case "begin":
                self._at = (event["algorithm"], event["stage"])
            case "start":
                self.facts |= event["facts"]
                self._probe_facts = event["probes"]
            case "probe" if event["round"] < 0:
                self._hello[event["probe"]] = event["seconds"]
            case "probe":
                self._series(self._probes[event["probe"]]).values.append(event["seconds"])
            case "cell":
                self._settle(event)
            case "facts":
                self._cells[event["algorithm"]].facts |= event["facts"]
            case "sample":
                series = self._series(self._cells[event["algorithm"]].series)
                series.values.append(event["seconds"])
                series.beside.append(event["beside"])

    def ended(self, max_rss: int) -> None:
        """A worker process is over; it held ``max_rss`` bytes at most (0 if that is not known)."""
        if max_rss:
            self.facts["mem_max_rss"] = max(max_rss, int(self.facts.get("mem_max_rss", 0)))

    def blame(self, code: int, silent: float, error: str) -> bool:
        """The contender at work is out: timed out after ``silent`` seconds, or crashed; so are all if none was at work.

        False if the process ended before it could measure anything for anybody.
        """
        name, stage = self._at
        cause = error or (f"no sign of life for {silent:.3g} s" if silent else _cause(code))
        for lost in [name] if name in self._waiting else self.waiting:
            self._waiting.remove(lost)
            cell = self._cells.setdefault(lost, Cell(lost, ""))
            cell.series.clear()
            cell.status = "timed out" if silent else "crashed"
            cell.reason = f"{cause} in {stage}"
        return bool(self._hello)

    def result(self, spec: str, weights: str, members: list[Membership], facts: Facts) -> Result:
        """Everything collected. Cells without samples that should have had some say so."""
        for name in self._waiting:
            cell = self._cells.setdefault(name, Cell(name, ""))
            if not any(series.values for series in cell.series.values()):
                cell.status, cell.reason = "out of budget", "the budget was over before its turn"
        for name, cell in self._cells.items():
            cell.series = {process: series for process, series in cell.series.items() if series.values}
            cell.facts = {**self._costs.get(name, {}), **cell.facts}
        probes = {probe: series or {0: Series([self._hello[probe]])} for probe, series in self._probes.items()}
        cells = [self._cells[name] for name in sorted(self._cells)]
        return Result(spec, weights, members, cells, probes, self._probe_facts, {**self.facts, **facts})

    def _settle(self, event: Mapping[str, Any]) -> None:
        name = event["algorithm"]
        cell = self._cells.setdefault(name, Cell(name, ""))
        cell.status, cell.reason = event["status"], event["reason"]
        cell.facts |= event["facts"]
        if cell.status in RETRYABLE:
            cell.series[self._process] = Series(loops=event["loops"])
        else:
            self._waiting.remove(name)

    def _series(self, series: dict[int, Series]) -> Series:
        return series.setdefault(self._process, Series())


def _cause(code: int) -> str:
    """How a process ended: by which signal, or with which code."""
    if code >= 0:
        return f"the process ended with code {code}"
    name = signal.Signals(-code).name
    return f"signal {-code} ({name})" + (", perhaps out of memory" if name == "SIGKILL" else "")
