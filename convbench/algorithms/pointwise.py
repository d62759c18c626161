"""1×1 convolution as a plain matrix product: y[n, k, p] = Σ_c w[k, c] · x[n, c, p·stride].

Without stride and padding the input is brgemm's A operand as it lies: pixels at unit stride, channels one plane
apart, nothing copied. Otherwise the pixels that are read are gathered first (``kernels/panels.py``).
Memory: none, or one gathered image. Error: the direct sum's (``algorithm.direct_error``).
"""

from __future__ import annotations

from math import prod

from convbench.algorithm import Algorithm
from convbench.algorithms.direct import direct
from convbench.spec import ConvSpec


def supports(spec: ConvSpec) -> str | None:
    if prod(spec.filter) != 1:
        return f"the filter is {'×'.join(map(str, spec.filter))}; pointwise is for 1×1 filters"
    return None


pointwise = Algorithm(
    name="pointwise",
    run=direct.run,
    supports=supports,
    plan=direct.plan,
    prepare=direct.prepare,
    workspace=direct.workspace,
    cost=direct.cost,
    executed_flop=direct.executed_flop,
    claim="1×1 convolution as one matrix product on the tensor as it lies",
)
