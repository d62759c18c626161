"""The runner's side of the worker processes: start them, read their events, end those that fall silent."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import convbench
from convbench.bench.orders import Job, Setup, to_line
from convbench.bench.threads import VARIABLES

Event = dict[str, Any]
WARMUP_PATIENCE = 300.0  # seconds: one algorithm's kernels compile without a word


class WorkerError(RuntimeError):
    """The worker processes cannot be started, or end where no contender is to blame; with their last words."""


class Crew:
    """One foreman process and the workers that it forks.

    ``events`` gives what they report. Two events are made here: ``silent`` before a process that said nothing for
    ``patience`` seconds is killed, and ``gone`` when the foreman itself has ended; a crew that is ``gone`` is of no
    more use.
    """

    def __init__(self, setup: Setup, patience: float) -> None:
        self._patience = patience
        self._log = TemporaryFile()  # noqa: SIM115 (closed by close)
        self._pid = 0
        self._text = b""
        self.gone = False
        self._events, theirs = os.pipe()
        path = os.pathsep.join([str(Path(convbench.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        pools = dict.fromkeys(VARIABLES, str(setup.threads))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "convbench.bench.foreman", str(theirs)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs],
            env={**os.environ, **pools, "PYTHONPATH": path.rstrip(os.pathsep)},
            start_new_session=True,
        )
        os.close(theirs)
        self._send(to_line(setup))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Iterator[Event]:
        """Events of the warm-up, up to ``ready``, or to ``gone``."""
        self._pid = self._process.pid
        return self._until("ready", max(self._patience, WARMUP_PATIENCE))

    def work(self, job: Job) -> Iterator[Event]:
        """Events of one job, up to its ``exit``, or to ``gone``."""
        self._send(to_line(job))
        return self._until("exit", self._patience)

    def kill(self) -> None:
        """End whatever runs, at once; ``events`` then end too. Any thread may call it."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End whatever runs, and let go of it."""
        self.kill()
        self._process.wait()
        self._log.close()
        if self._events >= 0:
            os.close(self._events)
            self._events = -1

    def last_words(self) -> str:
        """The last line that the processes printed."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the end of its events says so as well
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def _until(self, last: str, patience: float) -> Iterator[Event]:
        while True:
            line = self._line(patience)
            if line is None:
                yield {"event": "silent", "seconds": patience}
                os.kill(self._pid, signal.SIGKILL)
                continue
            if not line:
                self.gone = True
                yield {"event": "gone", "code": self._process.wait(), "words": self.last_words()}
                return
            try:
                event = json.loads(line)
            except ValueError:
                continue  # what a killed worker left half written
            if event["event"] == "started":
                self._pid = event["pid"]
                continue
            yield event
            if event["event"] == last:
                return

    def _line(self, patience: float) -> bytes | None:
        """The next line that is not blank; empty at the end of the events, None after too long a silence."""
        end = time.monotonic() + patience
        while True:
            line, newline, rest = self._text.partition(b"\n")
            if newline:
                self._text = rest
                if line:
                    return line
                continue
            if not select.select([self._events], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            read = os.read(self._events, 1 << 16)
            if not read:
                return b""
            self._text += read


Launch = Callable[[Setup], Crew]
