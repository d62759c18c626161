"""The standing of chosen algorithms: rank, distance to the winner, or why there is none."""

from __future__ import annotations

from report_frame import FIRST, SILENT, contest

from convbench.report.standing import standing_text


def standing(name: str) -> tuple[str, ...]:
    tied = {"algorithm": "pointwise", "tied": True, "own_tied": True, "time": 1.02, "best_ratio": 1.02}
    reason = {"status": "failed", "reason": "its error exceeds the bound"}
    frame = contest(
        {"algorithm": "mine", "time": 1.5, "best_ratio": 1.5},
        FIRST | {"algorithm": "direct"},
        {"algorithm": "im2col", "time": 3.0, "best_ratio": 3.0},
        tied,
        {"algorithm": "torch_conv2d", "peer": True, "time": 1.2, "best_ratio": 1.2},
        SILENT | {"algorithm": "broken"} | reason,
        SILENT | {"algorithm": "slow", "status": "hopeless", "reason": "predicted 50 s", "predicted_s": 50.0},
    )
    (row,) = standing_text(frame, [name]).to_dict("records")
    assert row.pop("algorithm") == name
    assert row.pop("problem")
    return tuple(row.values())


def test_rank_and_ratio_are_among_ours() -> None:
    assert standing("mine") == ("3 of 4", "1.50 s", "1.50× the time of direct")
    assert standing("im2col") == ("4 of 4", "3.00 s", "3.00× the time of direct")


def test_the_first_place_is_shared_by_those_tied() -> None:
    assert standing("direct") == ("1 of 4", "1.00 s", "winner")
    assert standing("pointwise") == ("1 of 4", "1.02 s", "1.02× the time of direct, tied")


def test_what_was_not_timed_says_why() -> None:
    assert standing("broken") == ("–", "–", "failed: its error exceeds the bound")
    assert standing("slow") == ("–", "–", "hopeless (50× the winner's time): predicted 50 s")
