"""Orders to the workers survive the wire."""

from __future__ import annotations

from convbench.bench.orders import Job, Setup, from_line, to_line


def test_orders_survive_the_wire() -> None:
    job = Job("mb1ic1ih4oc1kh1", "rank1", ("a", "b"), 1.5, 2, (1,), None, 3)
    assert Job(**from_line(to_line(job))) == job
    setup = Setup(("a",), ("mb1ic1ih4oc1kh1",), files=("x.py",))
    assert Setup(**from_line(to_line(setup))) == setup
