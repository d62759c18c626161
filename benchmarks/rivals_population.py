"""``auto`` over real layers drawn with occurrence as weight, against torch: prepared, and ``conv2d`` as it is called.

Run: ``python benchmarks/rivals_population.py [--table LAYERS.csv] [SEED …]`` (seeds 0, 1 and 2).
One race a layer: auto (the model's choice) and the best of ours, both prepared, conv2d unprepared, and torch's modes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from layers import depthwise, draw, one_pixel, pointwise
from pairs import pin
from races import Race, run
from rivals import NCHW, Case, forget_measurements, ours, torch_modes, unprepared
from rows import Options, inference, mean, options, verdict

from convbench.spec import ConvSpec

COUNT = 200
SEEDS = ("0", "1", "2")
FLOOR, FLOOR_LOW, FLOOR_UNPREPARED = 1.6, 0.85, 1.0
AIM, AIM_LOW, AIM_UNPREPARED = 2.2, 0.95, 1.5
BUDGET = 0.3  # seconds for the rounds of one layer
AUTO, BEST, UNPREPARED = "auto", "best", "conv2d"


def kind(spec: ConvSpec) -> str:
    if one_pixel(spec):
        return "1×1 on one pixel"
    if pointwise(spec):
        return "1×1"
    if depthwise(spec, 1, 1000, *range(1, 100)):
        return "depthwise"
    if spec.groups > 1:
        return "grouped"
    if max(spec.stride) > 1:
        return "dense, strided"
    return "dense"


@dataclass(frozen=True)
class Layer:
    case: Case
    race: Race
    algorithms: dict[str, str]
    torch: str

    def ratio(self, name: str) -> float:
        """Of torch's best mode to ours, prepared; of eager NCHW to ours, unprepared."""
        name = name if name in self.race.times else AUTO
        return self.race.ratio(NCHW if name == UNPREPARED else self.torch, name).median

    def __str__(self) -> str:
        chosen = self.algorithms[AUTO]
        if self.algorithms[BEST] != chosen:
            chosen += f"; best {self.algorithms[BEST]} {self.ratio(BEST):.2f}"
        times = "  ".join(f"{self.race.median(name) * 1e3:8.4f}" for name in (AUTO, self.torch, UNPREPARED, NCHW))
        of_peak = " / ".join(f"{self.race.of_peak(name):4.0%}" for name in (AUTO, self.torch))
        return (
            f"  {self.case.label[:58]:58} {times} ms   prepared {self.ratio(AUTO):5.2f}   unprepared "
            f"{self.ratio(UNPREPARED):5.2f}   peak {of_peak}   error {self.case.error(self.race.results[AUTO]):.0e}"
            f"   ({chosen} against {self.torch})"
        )


def raced(spec: ConvSpec, given: Options) -> Layer | None:
    """None where torch refuses the padding."""
    case = Case(spec)
    rivals = list(torch_modes(case, given.threads))
    if not rivals:
        return None
    auto = ours(case, given.algorithm or "auto", given.threads, given.fresh, label=AUTO)
    best = ours(case, "best", given.threads, given.fresh, label=BEST)
    own = [auto, unprepared(case, given.threads), *([] if auto.algorithm == best.algorithm else [best])]
    race = run([*own, *rivals], spec.flop, rounds=given.rounds, threads=given.threads, cold=given.cold, budget=BUDGET)
    names = {AUTO: auto.algorithm, BEST: best.algorithm}
    return Layer(case, race, names, race.best(rival.name for rival in rivals))


def summary(layers: Sequence[Layer]) -> Iterator[str]:
    prepared = [layer.ratio(AUTO) for layer in layers]
    low, best = float(np.percentile(prepared, 5)), mean(layer.ratio(BEST) for layer in layers)
    unprepared_mean = mean(layer.ratio(UNPREPARED) for layer in layers)
    yield "  worst, prepared:"
    yield from (str(layer) for layer in sorted(layers, key=lambda layer: layer.ratio(AUTO))[:8])
    for name in sorted({kind(layer.case.spec) for layer in layers}):
        part = [layer for layer in layers if kind(layer.case.spec) == name]
        means = [mean(layer.ratio(which) for layer in part) for which in (AUTO, BEST, UNPREPARED)]
        yield (
            f"  {name:18} {len(part):4} layers: prepared {means[0]:5.2f} (best of ours {means[1]:5.2f}), "
            f"unprepared {means[2]:5.2f}"
        )
    yield (
        f"  prepared: geometric mean {mean(prepared):.2f}, best of ours {best:.2f}; floor {FLOOR:g}, aim {AIM:g}: "
        f"{verdict(mean(prepared), FLOOR)}"
    )
    yield (
        f"  5th percentile {low:.2f}, least {min(prepared):.2f}; floor {FLOOR_LOW:g}, aim: nothing below {AIM_LOW:g}: "
        f"{verdict(low, FLOOR_LOW)}"
    )
    yield (
        f"  unprepared: geometric mean {unprepared_mean:.2f}; floor {FLOOR_UNPREPARED:g}, aim {AIM_UNPREPARED:g}: "
        f"{verdict(unprepared_mean, FLOOR_UNPREPARED)}"
    )


def main() -> None:
    given = options(__doc__)
    print(pin(given.threads))
    forget_measurements()
    once = cache(lambda spec: raced(spec, given))
    with inference():
        for seed in map(int, given.words or SEEDS):
            print(f"\nseed {seed}: ours prepared, best torch mode, ours unprepared, eager NCHW", flush=True)
            layers = []
            for spec in draw(given.table, given.layers or COUNT, seed):
                if (layer := once(spec)) is not None:
                    layers.append(layer)
                    print(layer, flush=True)
            for line in summary(layers):
                print(line, flush=True)


if __name__ == "__main__":
    main()
