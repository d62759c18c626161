"""The command line ``convbench``; :mod:`convbench.cli.app` says what it takes."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point. What the command line needs beyond the library is an extra, so it may be missing."""
    try:
        from convbench.cli.app import app
    except ModuleNotFoundError as error:
        print(
            f"convbench: error: {error.name} is not installed; pip install 'convbench[bench]' brings it",
            file=sys.stderr,
        )
        sys.exit(2)
    app()
