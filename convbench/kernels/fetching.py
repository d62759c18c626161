"""What is read next is fetched while products are computed: a line of the next group's images with every few terms."""

from __future__ import annotations

from convbench.kernels.jit import njit

MOST = 1 << 16  # elements of a group's images: of more, those that come first would have left L2 again


@njit
def fetching(task, tasks, group, terms, size):
    """Where in x ``task`` begins to fetch, and the elements it goes on with each of its ``terms``.

    While the ``tasks`` of a group run, the ``group`` elements of x behind the group's own are fetched, in equal shares;
    none where x, of ``size`` elements, ends.
    """
    g, part = divmod(task, tasks)
    begin, end = group * part // tasks, group * (part + 1) // tasks
    first = (g + 1) * group + begin
    return first, (end - begin + terms - 1) // terms if group <= MOST and first < size else 0
