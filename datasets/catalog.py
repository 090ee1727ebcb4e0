"""Which sources of recordings there are, told without importing them."""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calsweep.datasets.source import Source

_ENDING = "Source"


@dataclass(frozen=True, kw_only=True)
class SourceEntry:
    """Where a source is, and what it says of itself.

    Attributes
    ----------
    module, class_name
        Where it is.
    summary
        First line of its docstring.
    example
        A command line that uses it.
    """

    module: str
    class_name: str
    summary: str
    example: str

    def load(self) -> type[Source]:
        """Import the source, and with it what reads its format."""
        source: type[Source] = getattr(importlib.import_module(self.module), self.class_name)
        return source


@functools.cache
def sources() -> Mapping[str, SourceEntry]:
    """Give the sources by name, in order of name.

    A source is a class whose name ends in ``Source``, in a file of this folder that is named after
    its format. The files are read, not imported: each format has a library of its own, and they
    take seconds.

    Examples
    --------
    >>> sources()["csv"].class_name
    'CsvSource'
    """
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if f"{_ENDING}:" in text:  # most files need no parsing
            found.update(_entries(file.stem, ast.parse(text)))
    return found


def _entries(stem: str, tree: ast.Module) -> dict[str, SourceEntry]:
    return {
        stem.replace("_", "-"): SourceEntry(
            module=f"calsweep.datasets.{stem}",
            class_name=node.name,
            summary=(ast.get_docstring(node) or "").partition("\n")[0],
            example=_example(node),
        )
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(_ENDING)
        and not node.bases  # the protocol itself has one
    }


def _example(node: ast.ClassDef) -> str:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "example":
            return str(ast.literal_eval(line.value)) if line.value else ""
    return ""
