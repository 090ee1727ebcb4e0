"""The library that browsers draw with goes with the one that figures are made with."""

import ast
import hashlib
import re
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

import calsweep.dashboards.page
from calsweep.dashboards.page import plotly_js

DASHBOARDS = Path(calsweep.dashboards.page.__file__).parent
NO_TRACES = {"Figure", "layout"}


def version(text):
    return re.search(r"plotly\.js (?:\([^)]*\) )?v([\d.]+)", text)[1]


def test_version_is_that_of_the_library_that_figures_are_made_with():
    assert version(plotly_js()) == version(get_plotlyjs())


def test_file_is_as_it_was_published():
    digest = hashlib.sha256(plotly_js().encode()).hexdigest()
    assert digest in (DASHBOARDS / "vendor" / "README.md").read_text()


def drawn():
    """Name every kind of trace that a figure of ours is made of."""
    return {
        node.attr
        for path in DASHBOARDS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id == "go" and node.attr not in NO_TRACES
    }


@pytest.mark.parametrize("kind", sorted(drawn()))
def test_every_kind_of_trace_can_be_drawn(kind):
    assert f'moduleType:"trace",name:"{kind.lower()}"' in plotly_js()
