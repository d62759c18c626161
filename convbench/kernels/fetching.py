"""What is read next is fetched while products are computed: a line of the image with every few terms."""

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


@njit
def fetching_runs(first, run, step, channels, tiles):
    """The same of ``channels`` runs of ``run`` elements, ``step`` apart, of which each of ``tiles`` fetches a piece.

    Gives where the first tile begins, the elements of a piece, the tiles of a run, and from one run's last piece to the
    next run's first. Runs that join are one; none is fetched where there are more of them than tiles.
    """
    if run == step:
        run, channels = run * channels, 1
    each = tiles // channels
    if each == 0 or run * channels > 2 * MOST:
        return first, 0, tiles, 0
    piece = (run + each - 1) // each
    return first, piece, each, step - (each - 1) * piece
