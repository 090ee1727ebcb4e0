import pytest

FIGURES = {
    "": ["history", "parallel", "spread"],
    "/folds": ["matrix", "groups", "roc", "confusion", "learning"],
    "/predictions": ["overview", "decoded"],  # its dataset is nowhere
    "/population": [],
    "/explanations": [],
    "/compare": ["boxes", "differences"],
    "/data": ["plan"],  # its dataset is nowhere
}


@pytest.mark.parametrize("path", FIGURES)
def test_page_is_drawn_whole_and_asks_nobody_else(address, reader, path):
    here = reader(address)
    assert here.open(f"/sweeps/tiny{path}") == 200
    here.draw_all()
    here.shoot(path.strip("/") or "sweep")
    assert here.drawn() == FIGURES[path]
    assert (here.said, here.outside) == ([], [])
