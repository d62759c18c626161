"""Two threads against one, for problems above 1 ms, and our two threads against torch's two.

Run: ``python benchmarks/rivals_threads.py [ROW …]``; the process needs two cores to itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from layers import dense, parsed, pointwise, subset, suites, wide_3x3
from pairs import pin
from races import Race, first_time, run
from rivals import Case, forget_measurements, kernel_of, ours, torch_modes
from rows import Options, inference, mean, options, verdict

from convbench.spec import ConvSpec

THREADS = 2
LEAST = 1e-3  # seconds on one thread
FLOOR, AIM = 1.8, 1.95
ONE, TWO = "one thread", "two threads"


@dataclass(frozen=True)
class Group:
    """The floor against torch is the one of a single thread times 0.9."""

    key: str
    title: str
    floor: float
    layers: Sequence[ConvSpec]


def groups() -> list[Group]:
    networks = "vgg16", "resnet50"
    return [
        Group("wide", "3×3 stride 1, C, K ≥ 64, 28 px or more", 2.2 * 0.9,
              suites(*networks, of=lambda spec: wide_3x3(spec, 28, 1000))),
        Group("strided", "3×3 stride 2", 1.0 * 0.9,
              suites("resnet50", of=lambda spec: dense(spec, 3, stride=2)) + parsed("mb1ic64ih112oc128oh56kh3sh2ph1")),
        Group("pointwise", "1×1 of ResNet-50 and MobileNetV2", 1.08 * 0.9,
              suites("resnet50", "mobilenetv2", of=pointwise)),
        Group("large", "5×5 and 7×7", 1.5 * 0.9, parsed("mb1ic64ih56oc64oh56kh5ph2", "mb1ic128ih28oc128oh28kh7ph3")),
        Group("depthwise", "depthwise 5×5 to 31×31", 1.8 * 0.9,
              parsed("g480mb1ic480ih56oc480oh56kh5ph2", "g192mb1ic192ih56oc192oh56kh7ph3",
                     "g256mb1ic256ih28oc256oh28kh31ph15")),
        Group("grouped", "grouped 3×3", 1.35 * 0.9,
              parsed("g32mb1ic512ih28oc512oh28kh3ph1", "g4mb1ic448ih28oc448oh28kh3ph1")),
        Group("image", "one channel", 8 * 0.9, parsed("mb1ic1ih2048oc1oh2048kh3ph1", "mb1ic1ih1024oc1oh1024kh15ph7")),
        Group("batch", "batch 8", 1.3 * 0.9, parsed("mb8ic64ih56oc64oh56kh3ph1", "mb8ic256ih14oc1024oh14kh1")),
    ]  # fmt: skip


@dataclass(frozen=True)
class Line:
    case: Case
    race: Race
    algorithm: str
    torch: str

    @property
    def gain(self) -> float:
        return self.race.ratio(ONE, TWO).median

    @property
    def ratio(self) -> float:
        return self.race.ratio(self.torch, TWO).median

    def __str__(self) -> str:
        gain, ratio = self.race.ratio(ONE, TWO), self.race.ratio(self.torch, TWO)
        return (
            f"  {self.case.label[:44]:44} one {self.race.median(ONE) * 1e3:9.4f} ms   two "
            f"{self.race.median(TWO) * 1e3:9.4f} ms ({self.algorithm})   gain {gain.median:.2f} [{gain.low:.2f}, "
            f"{gain.high:.2f}]   {self.torch} {self.race.median(self.torch) * 1e3:9.4f} ms   ratio {ratio.median:5.2f} "
            f"[{ratio.low:.2f}, {ratio.high:.2f}]   peak {self.race.of_peak(TWO):4.0%}"
        )


def raced(case: Case, given: Options) -> Line | None:
    """None for a problem of less than ``LEAST``. One thread runs the algorithm that was chosen for two."""
    chosen = kernel_of(case, given.algorithm or "auto", THREADS).algorithm
    one, two = (ours(case, chosen, threads, given.fresh, label) for threads, label in ((1, ONE), (THREADS, TWO)))
    if first_time(one.call) < LEAST:
        return None
    rivals = list(torch_modes(case, THREADS, kept=""))
    race = run([one, two, *rivals], case.spec.flop, rounds=given.rounds, threads=THREADS)
    return Line(case, race, chosen, race.best(rival.name for rival in rivals))


def shown(group: Group, given: Options) -> Iterator[str]:
    yield f"\n{group.key}: {group.title}"
    found = [line for spec in subset(group.layers, given.layers) if (line := raced(Case(spec), given))]
    yield from map(str, found)
    if not found:
        yield f"  none takes {LEAST * 1e3:g} ms on one thread"
        return
    gain, ratio = mean(line.gain for line in found), mean(line.ratio for line in found)
    yield (
        f"  two threads against one: geometric mean {gain:.2f}, least {min(line.gain for line in found):.2f}; "
        f"floor {FLOOR:g}, aim {AIM:g}: {verdict(gain, FLOOR)}"
    )
    yield (
        f"  our two against torch's two: geometric mean {ratio:.2f}, least {min(line.ratio for line in found):.2f}; "
        f"floor {group.floor:.2f}: {verdict(ratio, group.floor)}"
    )


def main() -> None:
    given = options(__doc__)
    print(pin(THREADS))
    forget_measurements()
    with inference():
        for group in groups():
            if not given.words or group.key.startswith(given.words):
                for line in shown(group, given):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
