"""Sessions: ``nox -s bench`` (the benchmark), ``nox -s tests``, and what a developer runs beside them."""

import shutil

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]


@nox.session
def bench(session: nox.Session) -> None:
    """Run the default suites and write the report; arguments go to ``convbench bench``."""
    session.install("-e", ".[bench]")
    session.run("convbench", "bench", *(session.posargs or ["default"]))


@nox.session
def bench_peers(session: nox.Session) -> None:
    """The same with every optional rival (PyTorch, ONNX Runtime, OpenCV) installed."""
    session.install("-e", ".[bench,peers]")
    session.run("convbench", "bench", *(session.posargs or ["default", "--peers"]))


@nox.session
def tests(session: nox.Session) -> None:
    """The fast tests, on two processes that share one cache of compiled kernels."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-n", "2", "-m", "not slow and not browser", *session.posargs)


@nox.session
def tests_slow(session: nox.Session) -> None:
    """The tests that take minutes."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-n", "2", "-m", "slow", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """The report in a real browser: Chromium, headless and without a network. Debian's package is `chromium`."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        session.skip("no Chromium here: apt-get install chromium, then nox -s browser")
    session.install("-e", ".[browser]")
    session.run("pytest", "tests/test_report_browser.py", *session.posargs, env={"CHROMIUM": str(chromium)})


@nox.session
def readme(session: nox.Session) -> None:
    """Fill the README's results from the newest reference run, or from the run that is given."""
    session.install("-e", ".[bench]")
    session.run("python", "benchmarks/readme.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and format, without changing anything."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types."""
    session.install("-e", ".[dev]", "mypy>=1.14")
    session.run("mypy")
