"""The sections of a report: title and introduction of each, in the order of the page."""

from __future__ import annotations

__all__ = ["SECTIONS", "SPEED_UPS"]

SPEED_UPS = (
    "Speed-ups of the winners, geometric means over the problems on which both were timed and the other one is not the "
    "winner; n: how many these are, where it is not all. Hopeless on more than that: a mean over the few that it is "
    "fit for would be no comparison. The next is the fastest of ours that is not tied with the winner."
)

SECTIONS = {
    "crossover": (
        "Winner maps",
        "Who is fastest over two parameters. A cell holds every problem of its kind and size in the run; hatched cells "
        "are tied or have several winners; a thick line is a threshold, which no algorithm crosses as a winner.",
    ),
    "map": (
        "Who wins where",
        "Every contender's time over that of the fastest on the same problem. The ratios are medians of ratios taken "
        "round by round, so that a slow moment of the machine cancels.",
    ),
    "size": ("Time against size", "One size varies, everything else is fixed. Both axes are logarithmic."),
    "speedup": (
        "Speed-up over the baselines",
        "naive is the plain loop nest compiled by Numba, python_loops the same in plain Python, im2col the explicit "
        "patch matrix and one BLAS product. Hopeless contenders are not timed: theirs is one call or a prediction.",
    ),
    "roofline": (
        "Roofline",
        "The level ceiling is what a multiply-add kernel in the L1 cache reached beside the samples, the slanted one "
        "what a copy through memory reached. Points above the slanted line found their data in a cache; points above "
        "the level one do fewer flop than the direct sum, and their stem leads down to those that they do.",
    ),
    "peak": (
        "Part of the machine's peak",
        "Nominal flop are those of the direct sum, whatever an algorithm executes. Winograd and FFT execute fewer, so "
        "they may pass 100% of the peak; that is a speed-up over the best possible direct sum, not an error.",
    ),
    "error": (
        "Error against speed",
        "The error is checked before anything is timed, against a float64 sum (long double for float64 problems).",
    ),
    "pareto": (
        "Speed, error and memory",
        "Per problem the contenders that no other one of ours beats in time, error and workspace at once. Whatever the "
        "largest error and workspace that you allow, the fastest that keeps to them is one of these.",
    ),
    "regret": (
        "Regret of the selector",
        "The time lost by a rule that picks an algorithm, over the fastest of ours that auto's error rule admits. auto "
        "picks by its cost model, as it does on a machine that has measured nothing; the others always pick one "
        "algorithm. Problems whose weights have rank 1 are left out: a call does not know its weights.",
    ),
    "applicability": (
        "What ran where",
        "skipped: the algorithm does not apply, for the reason below. hopeless: so slow, by prediction or after one "
        "call, that it was not timed. out of budget: the time was over before its turn; a larger budget measures it. "
        "failed: its result is wrong. weak test: the data could not have caught an error.",
    ),
    "phases": (
        "Phases",
        "Where the time of a call goes, on one thread: a counter of cycles is read where one phase ends and the next "
        "begins, in a variant compiled for that; ordinary runs have no such marks. The call itself is what lies "
        "outside the marks: Python, memory for the output. Off: what the sum of the phases misses of the variant's own "
        "time.",
    ),
    "scaling": (
        "Threads",
        "Every contender on several numbers of threads, in rounds of its own, beside a multiply-add kernel on as many: "
        "what that gains is what the machine had to give. An alarm names the kernels that gain far less.",
    ),
    "costs": (
        "Compiler and break-even",
        "A kernel is compiled once per machine, loaded from the cache once per process, prepared once per filter bank; "
        "the first call warms caches and pages. None of these is part of a time above. The calls until the winner has "
        "paid them back are counted against the fastest contender that compiles nothing.",
    ),
    "networks": (
        "Totals of networks",
        "The layers that were measured, each as often as the network has it. Of a network that the run holds only in "
        "part this is no total: title and table say how many of its layers there are. Contenders that were not timed "
        "on all of those stand in the table only, beside the share of the work that they did.",
    ),
}
