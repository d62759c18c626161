"""``python -m convbench``: the same as the command ``convbench``."""

from __future__ import annotations

from convbench.cli import main

if __name__ == "__main__":
    main()
