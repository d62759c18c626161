"""All convolutions of ResNet-50, VGG-16 and MobileNetV2 with ``auto``, summed: batch 1, NCHW in and out, prepared.

Run: ``python benchmarks/rivals_networks.py [NETWORK …]``. Each layer counts as often as the network runs it. Beside
``auto`` (the model's choice) stands the best of ours, as measured choices would find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from layers import subset
from pairs import pin
from races import Race, run
from rivals import NCHW, Case, forget_measurements, ours, torch_modes
from rows import Options, inference, options, verdict

from convbench.suites import load

NETWORKS = ("resnet50", "vgg16", "mobilenetv2")
TORCH = "torch"
GOALS = (("best torch mode", TORCH, 1.4, 2.0), ("eager NCHW", NCHW, 1.8, 2.5))  # title, rival, floor, aim
AUTO, BEST = "auto", "best"


@dataclass(frozen=True)
class Layer:
    """One layer's race: ``auto``, ``best`` of ours (the same where it chose the same) and torch's modes."""

    case: Case
    race: Race
    algorithms: dict[str, str]
    torch: str

    def seconds(self, name: str) -> float:
        """``name``: a contender, or TORCH for its best mode."""
        return self.race.median({TORCH: self.torch}.get(name, name if name in self.race.times else AUTO))

    def __str__(self) -> str:
        ratio = self.race.ratio(self.torch, AUTO)
        chosen = self.algorithms[AUTO]
        if self.algorithms[BEST] != chosen:
            chosen += f"; best {self.algorithms[BEST]} {self.race.ratio(self.torch, BEST).median:.2f}"
        return (
            f"  {self.case.spec.repeats}× {self.case.label[:48]:48} ours {self.seconds(AUTO) * 1e3:8.4f} ms"
            f"   {self.torch} {self.seconds(TORCH) * 1e3:8.4f} ms   nchw {self.seconds(NCHW) * 1e3:8.4f} ms"
            f"   ratio {ratio.median:5.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
            f"   peak {self.race.of_peak(AUTO):4.0%} / {self.race.of_peak(self.torch):4.0%}"
            f"   error {self.case.error(self.race.results[AUTO]):.0e}   ({chosen})"
        )


def raced(case: Case, given: Options) -> Layer:
    auto = ours(case, given.algorithm or "auto", given.threads, given.fresh, label=AUTO)
    best = ours(case, "best", given.threads, given.fresh, label=BEST)
    rivals = list(torch_modes(case, given.threads))
    contenders = [auto, *([] if auto.algorithm == best.algorithm else [best]), *rivals]
    race = run(contenders, case.spec.flop, rounds=given.rounds, threads=given.threads, cold=given.cold)
    names = {AUTO: auto.algorithm, BEST: best.algorithm}
    return Layer(case, race, names, race.best(rival.name for rival in rivals))


def summed(name: str, layers: Sequence[Layer]) -> float:
    return sum(layer.case.spec.repeats * layer.seconds(name) for layer in layers)


def network(name: str, given: Options) -> Iterator[str]:
    yield f"\n{name}"
    layers = []
    for problem in subset(load(name), given.layers):
        layers.append(raced(Case(problem.spec), given))
        yield str(layers[-1])
    total = summed(AUTO, layers)
    yield f"  sum: auto {total * 1e3:.3f} ms, best of ours {summed(BEST, layers) * 1e3:.3f} ms"
    for title, rival, floor, aim in GOALS:
        theirs = summed(rival, layers)
        yield (
            f"  {title} {theirs * 1e3:.3f} ms: auto {theirs / total:.2f}, best of ours "
            f"{theirs / summed(BEST, layers):.2f}; floor {floor:g}, aim {aim:g}: {verdict(theirs / total, floor)}"
        )


def main() -> None:
    given = options(__doc__)
    print(pin(given.threads))
    forget_measurements()
    with inference():
        for name in NETWORKS:
            if not given.words or name.startswith(given.words):
                for line in network(name, given):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
