"""What README says of a notebook is run as it stands there, on a finished sweep."""

import re
from pathlib import Path

import plotly.graph_objects as go

README = Path(__file__).parents[2] / "README.md"


def test_cell_of_the_readme_shows_a_figure_and_says_how_to_read_it(sweep, capsys, tmp_path):
    (cell,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    home = sweep.folder.parent.parent
    cell = cell.replace('Path(".calsweep")', f"Path({str(home)!r})").replace('"SWEEP"', '"tiny"')
    *before, shown = cell.strip().splitlines()
    names = {}
    exec("\n".join(before), names)
    figure = eval(shown, names)
    assert isinstance(figure, go.Figure)
    assert figure.layout.xaxis.title.text == "AUC (0.5 is chance, 1 is perfect)"
    assert capsys.readouterr().out.startswith("A row is one group of test animals")
    figure.write_html(tmp_path / "spread.html")
    assert (tmp_path / "spread.html").stat().st_size > 1_000_000  # with plotly in it
