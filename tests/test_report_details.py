"""Phases, threads and alarms in the report say what the record says."""

from __future__ import annotations

import json

import pytest
import report_frame
from report_frame import FIRST, contest

from convbench.report import charts, page, phases, scaling, titles, winner_table

STEPS = {"transform": 1e-3, "multiply": 3e-3}
FASTER = {"threads": [1, 2], "kernel_threads": [1, 2], "seconds": [[2.0] * 6, [1.25] * 6]}
FASTER |= {"probe": [[1.0] * 6, [1.0] * 6], "busy": [1.0, 1.8]}


def test_phases_are_parts_of_their_sum() -> None:
    frame = contest(
        FIRST | {"algorithm": "im2col", "phases": json.dumps(STEPS), "phases_sum": 0.98, "phases_slowdown": 1.5},
        {"algorithm": "direct", "best_ratio": 2.0},
    )
    table = phases.phase_table(frame, winner_table(frame))
    assert dict(zip(table["phase"], table["share"], strict=True)) == pytest.approx(
        {"transform": 0.25, "multiply": 0.75}
    )
    ((_, name, words, *told),) = ([text for text, _ in row] for row in phases.phase_text(table).rows())
    assert (name, words) == ("im2col", "transform 25% (1.00 ms), multiply 75% (3.00 ms)")
    assert told == ["4.00 ms", "-2%", "1.50×"]
    assert titles.longest_phases(table) == "Multiply takes 75% of the time, the mean of 1 cell"


def test_threads_are_compared_with_what_the_machine_gives() -> None:
    frame = contest(FIRST | {"algorithm": "direct", "scaling": json.dumps(FASTER)})
    table = scaling.scaling_table(frame, winner_table(frame))
    assert list(table["threads"]) == [1, 2]
    assert table["gain"].tolist() == pytest.approx([1.0, 1.6])
    assert table["machine"].tolist() == pytest.approx([1.0, 2.0])
    assert not table["note"].any()
    assert scaling.verdict(frame) == ""
    assert titles.gained(table) == "2 threads are 1.60× as fast as one; the machine itself gains 2.00×"


def test_what_nobody_can_judge_is_told_and_not_drawn() -> None:
    rows = {
        "busy": FASTER | {"probe": [[1.0] * 6, [2.0] * 6]},
        "small": FASTER | {"kernel_threads": [1, 1]},
        "quick": FASTER,
        "other": FASTER,
    }
    cells = [
        (FIRST if name == "quick" else {"best_ratio": 2.0}) | {"algorithm": name, "scaling": json.dumps(row)}
        for name, row in rows.items()
    ]
    frame = contest(*cells)
    table = scaling.scaling_table(frame, winner_table(frame))
    assert set(table.loc[table["judged"], "algorithm"]) == {"quick", "other"}
    notes = dict(zip(table["algorithm"], table["note"], strict=True))  # of the most threads
    assert "no second core to give" in notes["busy"]
    assert "left to one thread" in notes["small"]
    assert notes["quick"] == ""
    (figure,) = (figure for figure in charts.figures(frame, winner_table(frame)) if figure.section == "scaling")
    assert "2 threads are 1.60× as fast as one" in figure.words


def test_from_a_machine_without_cores_to_give_nothing_is_concluded() -> None:
    serial = FASTER | {"seconds": [[2.0] * 6, [2.0] * 6]}
    rows = {"direct": serial, "im2col": FASTER | {"probe": [[1.0] * 6, [1.0, 2.0] * 3]}}
    cells = [{"algorithm": name, "scaling": json.dumps(row)} for name, row in rows.items()]
    frame = contest(FIRST | cells[0], {"best_ratio": 2.0} | cells[1])
    winners = winner_table(frame)
    table = scaling.scaling_table(frame, winners)
    assert not table["judged"].any()
    assert "as fast as one" not in " ".join(table["note"])
    assert not [figure for figure in charts.figures(frame, winners) if figure.section == "scaling"]
    report = page.Report("disturbed", frame, winners, [], report_frame.MACHINE)
    for said in (page.html(report), page.markdown(report)):
        assert "The machine had no second core to give during this run: no kernel is judged" in said
        assert "as fast as one, where" not in said


def test_winners_of_a_suite_have_their_phases_with_slow_down_and_deviation() -> None:
    marked = {"phases": json.dumps({"pad": 1e-3}), "phases_sum": 0.996, "phases_slowdown": 1.0}
    frame = contest(
        FIRST | {"algorithm": "im2col", "phases": json.dumps(STEPS), "phases_sum": 1.02, "phases_slowdown": 1.1},
        {"algorithm": "kn2row", "best_ratio": 2.0} | marked,
    )
    drawn = {figure.name: charts.svg(figure) for figure in charts.figures(frame, winner_table(frame))}
    (suite,) = (svg for name, svg in drawn.items() if name.startswith("phases_"))
    assert "im2col, 4.00 ms, marks 1.10×, sum 2%" in suite
    assert "kn2row" not in suite
    assert "n = 1, marks 1.00×, sum -0.4%" in drawn["phases"]


def test_alarms_stand_in_the_page_and_in_the_text() -> None:
    serial = json.dumps(FASTER | {"seconds": [[2.0] * 6, [2.0] * 6]})
    frame = contest(FIRST | {"algorithm": "direct", "scaling": serial, "slowed": 0.9})
    report = page.Report("alarming", frame, winner_table(frame), [], report_frame.MACHINE)
    for said in (page.html(report), page.markdown(report)):
        assert "2 threads are 1.00× as fast as one" in said
        assert "the machine was slowed during most samples" in said


def test_without_details_there_is_nothing_of_them() -> None:
    frame = contest(FIRST | {"algorithm": "direct", "phases": "", "scaling": ""})
    winners = winner_table(frame)
    assert phases.phase_table(frame, winners).empty
    assert scaling.scaling_table(frame, winners).empty
    assert 'id="phases"' not in page.html(page.Report("plain", frame, winners, [], {}))


def test_each_colour_of_the_phases_has_one_entry_in_the_legend() -> None:
    parts = dict.fromkeys(("call", "pad", "gather", "transform", "multiply", "filter", "inverse", "write"), 1e-3)
    frame = contest(
        FIRST | {"algorithm": "im2col", "phases": json.dumps(parts), "phases_sum": 1.0, "phases_slowdown": 1.0}
    )
    chart = phases.winner_chart(phases.phase_table(frame, winner_table(frame)), "phases").to_dict(validate=False)
    scale = chart["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == ["pad, gather", "transform", "multiply, filter", "inverse, write", "call"]
    assert len(set(scale["range"])) == len(scale["domain"])
