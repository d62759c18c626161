"""The command line: what the commands take. What they do is in the modules beside this one, imported when needed.

A mistake of the user's is one line on standard error and exit code 2; a check that fails is exit code 1; Ctrl-C is 130.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convbench import __version__
from convbench.bench.orders import CACHES, HOT
from convbench.cli.mistakes import Commands
from convbench.cli.terminal import UserError

app = typer.Typer(
    name="convbench",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"convbench {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which convolution algorithm should I use for this problem on this machine?

    Problems are named by suite (default, resnet50, images, …, all), by descriptor in
    benchdnn's notation (mb1ic64ih56oc64oh56kh3ph1), or by a file: descriptors, .csv, an
    .onnx model, DeepBench's rows, MIOpenDriver's command lines, a verbose log of oneDNN.
    """


Problems = Annotated[
    list[str] | None, typer.Argument(help="Suites, descriptors, files in any format.", show_default=False)
]
Names = Annotated[
    str | None, typer.Option("--algorithms", metavar="A,B,…", help="Only these algorithms. (default: every one)")
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--with", metavar="FILE.py", help="Also the algorithms in this Python file; repeatable."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Threads of each call. (default: one per core allowed)")
]
Batch = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Batch size in place of the problems' own, as --mb.")
]


@app.command()
def bench(
    problems: Problems = None,
    algorithms: Names = None,
    user_files: Files = None,
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N…]",
            help="Threads of each call; of several, the most, and then how all scale. (default: one per core allowed, "
            "beyond which they take turns)",
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="For all measurements; start-up (kernels loaded, new ones compiled) comes on top.",
        ),
    ] = 300,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where results go; a run found there is continued. (default: results/<cpu>-<date>)"
        ),
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also the rivals that need packages of their own, such as torch.")
    ] = False,
    batch: Batch = None,
    cache: Annotated[str, typer.Option(metavar="|".join(CACHES), help="What a call finds in the caches.")] = HOT,
    details: Annotated[
        bool, typer.Option("--details", help="Phases and memory of all, not only in 3% of the time.")
    ] = False,
) -> None:
    """Measure which algorithm is fastest on each problem, and write the report.

    Without PROBLEMS the default suite is measured. The winners found are what fastest() and conv1d/2d/3d() use from
    then on. Exit code 1 if one of our algorithms was wrong or crashed.

    [bold]Examples[/bold]
    convbench bench
    convbench bench resnet50 images --budget 600
    convbench bench my_model.onnx
    convbench bench resnet50 --cache cold-weights
    convbench bench vgg16 --threads 1,2 --details
    convbench bench mb1ic64ih56oc64oh56kh3ph1 --algorithms direct,im2col,winograd_4x4_3x3
    convbench bench smoke --with my_algorithm.py --threads 1 --out results/mine
    """
    from convbench.cli import benchmark
    from convbench.cli.terminal import threads_in

    if cache not in CACHES:
        raise UserError(f"--cache is {cache!r}; allowed: {', '.join(CACHES)}")
    directory = out or benchmark.fresh_directory()
    asked = benchmark.Request(
        problems or ["default"],
        algorithms,
        user_files or [],
        threads_in(threads),
        budget,
        directory,
        peers,
        batch,
        cache,
        details,
    )
    raise typer.Exit(0 if benchmark.run(asked) else 1)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A directory that `convbench bench` wrote.")],
) -> None:
    """Write the report of a run again: cells.csv, report.md, report.html and the charts.

    [bold]Example[/bold]
    convbench report results/mine
    """
    from convbench.cli import benchmark

    benchmark.write_report(run)


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="BASE RUN...", help="Directories that `convbench bench` wrote, or samples.json files."),
    ],
    algorithms: Annotated[
        str | None,
        typer.Option(
            "--algorithms",
            metavar="A,B:C,…",
            help="Only these; B:C compares B of the base with C. (default: every one)",
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables for a pull request.")] = False,
    fail_above: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Exit code 1 if one of ours is surely slower, by more than this, or broken; 5% and 5 are the same.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare runs of other machines, threads or versions all the same.")
    ] = False,
) -> None:
    """Compare runs with a base: what became slower or faster, and how sure that is.

    [bold]Examples[/bold]
    convbench compare results/before results/after --fail-above 5%
    convbench compare results/both results/both --algorithms direct:mine --markdown
    """
    from convbench.cli import comparing

    if len(runs) < 2:
        raise UserError("compare takes a base and at least one more run")
    raise typer.Exit(0 if comparing.run(runs, algorithms, markdown, fail_above, force) else 1)


@app.command()
def check(
    problems: Problems = None,
    suite: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="The same as an argument; repeatable.")
    ] = None,
    algorithms: Annotated[
        str | None,
        typer.Option(
            "--algorithms",
            metavar="A,B,…",
            help="Only these; `auto` is the one that fastest() picks. (default: every one)",
        ),
    ] = None,
    user_files: Files = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="A,B,…", help="Data: normal, integer, scaled, relu, rank1; problems of rank-1 weights get theirs."
        ),
    ] = "normal",
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of each call.")] = 1,
    batch: Batch = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write every verdict to this file.")] = None,
) -> None:
    """Compare algorithms with the oracle; exit code 1 if any result is beyond its bound.

    [bold]Examples[/bold]
    convbench check
    convbench check --suite all --algorithms direct,auto
    convbench check layers.txt --batch 1 --kind relu --with my_algorithm.py
    """
    from convbench.cli import checking

    texts = [*(problems or []), *(suite or [])] or ["correctness"]
    failed = checking.run(texts, algorithms, user_files or [], kind.split(","), threads, batch, out)
    raise typer.Exit(1 if failed else 0)


@app.command()
def explain(
    problems: Annotated[list[str], typer.Argument(help="Suites, descriptors, files in any format.")],
    threads: Threads = None,
    max_error: Annotated[
        float | None,
        typer.Option(metavar="E", help="Largest error bound, in units of √(x² ⋆ w²). (default: 8 × the direct sum's)"),
    ] = None,
    nonfinite: Annotated[
        str | None, typer.Option(metavar="local", help="`local`: only algorithms that spread no NaN or infinity.")
    ] = None,
    workspace_limit: Annotated[int | None, typer.Option(min=0, metavar="BYTES", help="Most scratch.")] = None,
    unprepared: Annotated[
        bool, typer.Option("--unprepared", help="The filter's preparation is paid in every call, as in conv2d().")
    ] = False,
    user_files: Files = None,
) -> None:
    """Say which algorithm is chosen for a problem, and why the others are not.

    [bold]Example[/bold]
    convbench explain mb1ic64ih56oc64oh56kh3ph1 --threads 1
    """
    from convbench.cli import listings

    constraints = {"threads": threads, "max_error": max_error, "nonfinite": nonfinite}
    constraints |= {"workspace_limit": workspace_limit, "prepared": not unprepared}
    listings.explain(problems, user_files or [], constraints)


@app.command()
def algorithms(
    peers: Annotated[bool, typer.Option("--peers", help="The rivals instead of our own.")] = False,
    user_files: Files = None,
) -> None:
    """List the algorithms with their claims.

    local: rounding errors, NaN and infinity stay with the outputs that read them. exact: a direct sum, bit for bit
    right on integers.
    """
    from convbench.cli import listings

    listings.algorithms(peers, user_files or [])


@app.command()
def machine(
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure now, or show what is in use.")
    ] = True,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep the measurement for cost models.")] = True,
) -> None:
    """Measure this machine's limits: peak, bandwidth, BLAS and FFT rates of one core, overhead of a call.

    [bold]Examples[/bold]
    convbench machine
    convbench machine --no-measure
    """
    from convbench.cli import listings

    listings.machine(measure, save)


@app.command()
def shapes(
    source: Annotated[str, typer.Argument(help="A suite, a descriptor, a file in any format.")],
    to: Annotated[
        str | None, typer.Option(metavar="benchdnn|csv|deepbench|miopen", help="Write the problems in this format.")
    ] = None,
    batch: Batch = None,
) -> None:
    """Count the problems of a list, or convert it (the problems to standard output, the count to standard error).

    [bold]Examples[/bold]
    convbench shapes resnet50
    convbench shapes layers.csv --to benchdnn > layers.txt
    convbench shapes model.onnx --batch 8 --to miopen
    """
    from convbench.cli import listings

    listings.shapes(source, to, batch)
