"""Building blocks with operands in L1, as a share of the multiply-add peak, for each width of vectors.

Run: ``python benchmarks/microkernel.py [BYTES …]``: vectors of 64, 32 or 16 bytes; by default all the host has. A
width runs in a process of its own from which the features of wider vectors are hidden. The floor is on the share of
a peak that loads (``peak.loading``): beside a busy neighbour no loop that loads reaches the one of registers alone.
"""

from __future__ import annotations

import subprocess
import sys

from llvmlite import binding

WIDER = {
    64: (),
    32: ("avx512", "avx10", "amx", "evex512"),
    16: ("avx", "amx", "evex512", "f16c", "xop", "vaes", "vpclmul"),
}
NEEDS = {64: "avx512f", 32: "avx2", 16: "sse2"}
FLOORS = {64: 0.95, 32: 0.88, 16: 0.0}
ROUNDS = 21
ONE = "--one"


def hide(vector_bytes: int) -> None:
    """Make LLVM and convbench believe that the host has no wider vectors."""
    whole = dict(binding.get_host_cpu_features())
    narrow = binding.FeatureMap(
        {name: there and not name.startswith(WIDER[vector_bytes]) for name, there in whole.items()}
    )
    binding.get_host_cpu_features = lambda: narrow


def show(vector_bytes: int) -> None:
    hide(vector_bytes)
    from building_blocks import measured
    from pairs import pin

    from convbench.kernels.simd import VECTOR_BYTES

    if vector_bytes != VECTOR_BYTES:
        raise SystemExit(f"convbench uses vectors of {VECTOR_BYTES} bytes where {vector_bytes} were asked for")
    print(f"{pin()}; vectors of {vector_bytes} bytes", flush=True)
    for dtype in ("float32", "float64"):
        shares = []
        for share in measured(dtype, FLOORS[vector_bytes], ROUNDS):
            block, of = share.block, share.of_loading
            if block.floor:
                shares.append(of.median)
            print(
                f"  {dtype} {block.title:52} {of.median:6.1%} [{of.low:.1%}, {of.high:.1%}] of "
                f"{share.loading / 1e9:.0f} GFLOP/s with loads; {share.of_registers.median:6.1%} of "
                f"{share.registers / 1e9:.0f} from registers{'   *' if block.floor else ''}",
                flush=True,
            )
        if shares:
            floor = FLOORS[vector_bytes]
            word = "holds" if min(shares) >= floor else "MISSED"
            print(f"  {dtype}: least of those marked * {min(shares):.1%}; floor {floor:.0%}: {word}\n", flush=True)


def main(arguments: list[str]) -> None:
    if arguments[:1] == [ONE]:
        show(int(arguments[1]))
        return
    features = binding.get_host_cpu_features()
    for vector_bytes in map(int, arguments or map(str, NEEDS)):
        if arguments or features.get(NEEDS[vector_bytes]):
            subprocess.run([sys.executable, __file__, ONE, str(vector_bytes)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
