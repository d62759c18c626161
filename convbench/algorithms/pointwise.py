"""1×1 convolution as a plain matrix product: y[n, k, p] = bias[k] + Σ_c w[k, c] · x[n, c, p·stride].

Four forms, by the number of pixels (``kernels/product_forms.py``):

* ``planes``: lanes are pixels, read from and written to NCHW as it lies (``kernels/plane_product.py``);
* ``channels``: lanes are output channels, for planes that would leave many lanes of pixels empty, as 7×7, and for
  batches of single pixels, whose transpose is such a plane (``kernels/channel_product.py``);
* ``vector``: one pixel, a matrix-vector product that reads the filters once (``kernels/vector_product.py``);
* ``rows``: one pixel and long or few filters, which are read as they lie (``kernels/row_product.py``).

With stride or padding the pixels that are read are gathered first; every second one, for planes on one thread, as they
are needed. One channel a group is ``depthwise``'s.
Memory: a few panels a thread, and the gathered pixels. Error: the direct sum's (``algorithm.direct_error``).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, default_prepare_cost, phases
from convbench.algorithms.depthwise import Plan as StencilPlan
from convbench.algorithms.depthwise import depthwise
from convbench.kernels import one_pixel, product_forms
from convbench.kernels.layout import ALIGNMENT, Part, Polyphase, carve, polyphase_pad, round_up, scratch_bytes
from convbench.kernels.lines import copy_every_second
from convbench.kernels.product_forms import Form, channels, planes, read_once, rows
from convbench.kernels.stencil import lanes_of
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import OFF, tick
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.scratch import short_call
from convbench.spec import ConvSpec

GATHER, MULTIPLY = 1, 2  # phases
EFFICIENCY = 0.9  # of peak inside full tiles
BEYOND_L2 = 1.25  # rate of reads from the last-level cache and memory over that of a copy through memory
SHORT_CALL = 0.12  # of the overhead of a call: nothing to carve, one kernel that looks at its arrays itself
IMAGE_CALL = 0.4  # of it: arrays are looked at in Python
COLUMNS_CALL, GATHERED_CALL, NEEDED_CALL = 1.4, 1.7, 0.7  # of it: pixels are brought together first, or in the kernel
GATHER_SECONDS = 5e-9  # for a vector of a row
REREAD = 1.1  # the least by which ``channels`` takes longer than its work says if an image leaves L2, or is gathered
TWO_STEPS = 1 << 16  # multiply-adds of one vector, in the time that it takes to gather in a step of its own


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec  # the problem with three spatial dimensions
    image: Polyphase
    columns: bool  # a batch of single pixels: image n is pixel n
    gathered: int  # elements of one channel's gathered pixels; 0: x as it lies
    as_needed: bool  # the kernel gathers
    form: Form
    no_bias: np.ndarray  # zeros (K,)
    parts: tuple[Part, ...]  # of scratch: the gathered pixels, and the bytes of each thread

    @property
    def in_one_call(self) -> bool:
        """Nothing to gather first, one thread."""
        return not self.gathered and self.threads == 1


def supports(spec: ConvSpec) -> str | None:
    if prod(spec.filter) != 1:
        return f"the filter is {'×'.join(map(str, spec.filter))}; pointwise is for 1×1 filters"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan | StencilPlan:
    if spec.groups == spec.C:
        return depthwise.plan(spec, threads, workspace_limit)
    lifted = lift(spec, 3)
    if prod(spec.spatial) == prod(spec.output_spatial) == 1:
        lifted = lifted.replace(stride=1)  # of the one pixel, whatever the stride
    image = Polyphase.of(lifted)
    images, pixels = spec.N, prod(spec.output_spatial)
    columns = image.in_place and pixels == 1 and images > 1
    if columns:
        images, pixels = 1, images
    gathered = round_up(pixels, ALIGNMENT // spec.itemsize) if columns else 0 if image.in_place else image.plane
    form = as_needed = None
    if not gathered and images == pixels == 1:
        form = read_once(spec)
    elif pixels > lanes_of(spec.np_dtype) and not columns:  # the narrowest tile of planes has two vectors
        limit = None if workspace_limit is None else workspace_limit - spec.N * spec.C * gathered * spec.itemsize
        form = planes(spec, images, pixels, gathered or pixels, threads, limit)
        if threads == 1 and _every_second(lifted) and lifted.spatial[0] == 1:
            rows_read = lifted.spatial[1], lifted.spatial[2], lifted.stride[1], image.size[1]
            as_needed = planes(spec, images, pixels, gathered, 1, workspace_limit, rows_read)
            if as_needed.depth >= min(form.depth, product_forms.DEEP):
                form = as_needed
    if form is None or form.scratch:
        by_channels = channels(spec, images, pixels, gathered or pixels, columns, threads)
        far = images * spec.weight_shape[1] * (gathered or pixels) * spec.itemsize > product_forms.NEAR_BYTES
        instead = form is not None and form is as_needed  # of gathering them first
        work = by_channels.work * (REREAD if far or instead else 1) + (TWO_STEPS if instead else 0)
        if form is None or work < form.work:
            form = by_channels
    read = spec.C if columns else spec.N * spec.C
    parts = _parts(spec, read, 0 if form is as_needed else gathered, form, threads)
    if as_needed is not None and workspace_limit is not None and scratch_bytes(parts) > workspace_limit:
        form, parts = as_needed, _parts(spec, read, 0, as_needed, threads)
    gathers = form is as_needed is not None
    gathered = 0 if gathers else gathered
    no_bias = np.zeros(spec.K, spec.np_dtype)
    return Plan(spec, threads, lifted, image, columns, gathered, gathers, form, no_bias, parts)


def _every_second(lifted: ConvSpec) -> bool:
    """Whether every second pixel of rows is read, and nothing but stride parts them."""
    return lifted.stride[2] == 2 and lifted.canonical_padding == ((0, 0),) * 3


def _parts(spec: ConvSpec, channels: int, gathered: int, form: Form, threads: int) -> tuple[Part, ...]:
    scratch = round_up(form.scratch * spec.itemsize, ALIGNMENT)
    return ((channels, gathered), spec.np_dtype), ((threads, scratch), np.dtype(np.uint8))


def prepare(plan: Plan | StencilPlan, weight: np.ndarray) -> Any:
    if isinstance(plan, StencilPlan):
        return depthwise.prepare(plan, weight)
    return plan.form.pack(weight, plan.threads)


def unprepared(plan: Plan | StencilPlan) -> Plan | StencilPlan:
    """One pixel reads its filters once: not even when they are packed."""
    if isinstance(plan, StencilPlan) or plan.form.scratch:
        return plan
    return plan._replace(form=rows(plan.spec))


def quick(plan: Plan | StencilPlan, state: Any, bias: Any) -> Callable[[Any, Any], bool] | None:
    """One kernel, where nothing is gathered, on one thread. One pixel takes less time than to look at its arrays."""
    if isinstance(plan, StencilPlan):
        return depthwise.quick(plan, state, bias)
    if not plan.in_one_call:
        return None
    form, offset = plan.form, plan.no_bias if bias is None else bias
    if not form.scratch:
        return one_pixel.bound(form.kernel, state, offset, form.sizes, plan.spec.ndim)
    kernel, tasks, sizes, spec = form.kernel, form.tasks, form.sizes, plan.spec

    def multiply_flat(x: np.ndarray, y: np.ndarray, work: np.ndarray) -> None:
        kernel(0, tasks, x, state, offset, y, sizes, work)

    return short_call(spec.input_shape, spec.output_shape, workspace(plan), multiply_flat)


def workspace(plan: Plan | StencilPlan) -> int:
    return depthwise.workspace(plan) if isinstance(plan, StencilPlan) else scratch_bytes(plan.parts)


def gather(plan: Plan | StencilPlan, x: Any, state: Any, bias: Any, y: Any, work: Any) -> None:
    """Bring the pixels that are read side by side; nothing to do where they lie so."""
    if isinstance(plan, StencilPlan) or not plan.gathered:
        return
    pixels, target = plan.form.sizes[3], carve(work, plan.parts)[0]
    if plan.columns:
        target[:, :pixels] = x.reshape(pixels, -1).T
    else:
        image, stride = plan.image, plan.lifted.stride
        source, flat = x.reshape(-1, *plan.lifted.spatial), target.reshape(-1)
        if _every_second(plan.lifted):
            parallel(copy_every_second, len(source), plan.threads, source, flat, 0, plan.gathered, stride, image.size)
        else:
            before = tuple(before for before, _ in plan.lifted.padding)
            parallel(polyphase_pad, len(source), plan.threads, source, flat, plan.gathered, image.phases, image.size,
                     stride, before)  # fmt: skip
    target[:, pixels:] = 0


def multiply(plan: Plan | StencilPlan, x: Any, state: Any, bias: Any, y: Any, work: Any) -> None:
    if isinstance(plan, StencilPlan):
        depthwise.run(plan, x, state, bias, y, work)
        return
    form = plan.form
    offset = plan.no_bias if bias is None else bias
    if not form.scratch:
        parallel(form.kernel, form.tasks, plan.threads, x, state, offset, y, form.sizes)
        return
    gathered, panels = carve(work, plan.parts)
    pixels = gathered if plan.gathered else x
    parallel(form.kernel, form.tasks, plan.threads, pixels.ravel(), state, offset, y.ravel(), form.sizes,
             private=panels)  # fmt: skip


def run(plan: Plan | StencilPlan, x: Any, state: Any, bias: Any, y: Any, work: Any, ticks: Any = OFF) -> None:
    if isinstance(plan, StencilPlan):
        depthwise.run(plan, x, state, bias, y, work, ticks)
        return
    if plan.in_one_call:
        form = plan.form
        offset = plan.no_bias if bias is None else bias
        if form.scratch:
            form.kernel(0, form.tasks, x.ravel(), state, offset, y.ravel(), form.sizes, work)
        else:
            form.kernel(0, form.tasks, x, state, offset, y, form.sizes)
    else:
        if plan.gathered:
            gather(plan, x, state, bias, y, work)
            tick(ticks, GATHER)
        multiply(plan, x, state, bias, y, work)
    tick(ticks, MULTIPLY)


def executed_flop(plan: Plan | StencilPlan) -> float:
    """Counts what the lanes do: channels and pixels up to whole tiles included."""
    if isinstance(plan, StencilPlan):
        return depthwise.executed_flop(plan)
    return 2.0 * plan.form.work * lanes_of(plan.spec.np_dtype)


def prepare_cost(plan: Plan | StencilPlan, machine: Machine) -> float:
    if isinstance(plan, StencilPlan):
        return depthwise.prepare_cost(plan, machine)
    return 0.0 if plan.form.starts is None else default_prepare_cost(plan, machine)


def cost(plan: Plan | StencilPlan, machine: Machine) -> float:
    """A call, the multiply-adds, and every operand once: from L2 as much as fits there, the rest from beyond.

    Matrix-vector products wait for the filters alone; the others read and write beside computing, but not for free.
    """
    if isinstance(plan, StencilPlan):
        return depthwise.cost(plan, machine)
    spec, form = plan.spec, plan.form
    nbytes = spec.min_bytes + 2 * prod(plan.parts[0][0]) * spec.itemsize
    gather = 0.0
    if plan.as_needed:
        (_, H, W), (_, P, Q) = plan.lifted.spatial, plan.image.size
        nbytes -= spec.N * spec.C * (H - P) * W * spec.itemsize  # rows that are not read
        gather = spec.N * spec.C * P * -(-Q // lanes_of(spec.np_dtype)) * GATHER_SECONDS
    near = min(nbytes, machine.l2_bytes * plan.threads)
    moved = (near / machine.l2_bandwidth + (nbytes - near) / (BEYOND_L2 * machine.bandwidth)) / plan.threads
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    if not form.scratch:
        return SHORT_CALL * machine.call_overhead + max(moved, compute)
    call = 1.0
    if plan.in_one_call:
        call = NEEDED_CALL if plan.as_needed else IMAGE_CALL
    elif plan.gathered:
        call = COLUMNS_CALL if plan.columns else GATHERED_CALL
    return call * machine.call_overhead + compute + moved + gather


pointwise = Algorithm(
    name="pointwise",
    run=phases(run, "gather", "multiply"),
    supports=supports,
    plan=plan,
    prepare=prepare,
    unprepared=unprepared,
    workspace=workspace,
    quick=quick,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    claim="1×1 convolution as one matrix product on the tensor as it lies",
)
