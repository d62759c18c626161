"""A table as it is shown: which fields, under which headings, in which words; rendered alike as HTML and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

__all__ = ["Column", "Shown"]


class Column(NamedTuple):
    """A field under its heading; `said` puts a number into words, None for what is text already."""

    heading: str
    field: str
    said: Callable[[Any], str] | None = None


@dataclass(frozen=True)
class Shown:
    """Rows of a frame through columns. link: the field with the fragment that the first column links to, or ""."""

    frame: pd.DataFrame
    columns: tuple[Column, ...]
    link: str = ""

    @classmethod
    def of(cls, texts: pd.DataFrame) -> Shown:
        """A frame of strings as it stands."""
        return cls(texts, tuple(Column(str(name), str(name)) for name in texts.columns))

    def rows(self) -> Iterator[list[tuple[str, float | None]]]:
        """Each row as (words, the number behind them or None)."""
        for row in self.frame.to_dict("records"):
            yield [
                (str(row[field]), None) if said is None else (said(row[field]), float(row[field]))
                for _, field, said in self.columns
            ]

    def links(self) -> list[str]:
        """The fragment of each row, "" where there is none."""
        return list(self.frame[self.link]) if self.link else [""] * len(self.frame)
