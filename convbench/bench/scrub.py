"""Take out of a record what names a person or a place: host, user, home, and the directories of absolute paths."""

from __future__ import annotations

import getpass
import platform
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

NOBODY = {"root", "user", "runner", "ubuntu", "admin", "nobody"}
"""User names that name no person, and that occur as words."""

PATH = re.compile(r"(?:file:/*|(?<![\w.)/])(?:[A-Za-z]:(?=\\)|~[\w.-]*)?)[/\\](?:[\w.+@-]+[/\\])*([\w.+@-]+)")


def scrub(text: str) -> str:
    """``text`` on one line, without the host's and the user's name; of an absolute path its last part stays."""
    for secret, stand_in in _secrets():
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", stand_in, text)
    return " ".join(PATH.sub(r"\1", text).split())


@lru_cache(maxsize=1)
def _secrets() -> tuple[tuple[str, str], ...]:
    found = [(str(Path.home()), "~"), (platform.node(), "host"), (platform.node().split(".")[0], "host")]
    with suppress(KeyError, OSError):
        found.append((getpass.getuser(), "user"))
    return tuple((secret, name) for secret, name in found if secret and secret not in NOBODY)
