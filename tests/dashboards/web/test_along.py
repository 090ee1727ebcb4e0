"""Predictions along a recording, on a sweep whose dataset is there, and once it is not."""

import shutil
from dataclasses import replace

import pytest

from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.platform.fold.training import Training
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from tests.dashboards.web.served import serious, serving
from tests.recorded import record_sweep


@pytest.fixture(scope="module")
def recorded(mice, tmp_path_factory):
    """Give the record of one linear decoder on two folds, and its dataset, which may be deleted."""
    home = tmp_path_factory.mktemp("along")
    folder = shutil.copytree(mice.folder, home / "mice")
    view = replace(mice.view(length=5), address=str(folder), folds=AnimalGroups(k_groups=3))
    training = Training(epochs=1, learning_rate=1e-2, batch_size=64)
    settings = Settings(trainables=Linear(), datasets=view, training=training)
    return record_sweep(home, "small", {"trial 1": settings}, n_folds=2), folder


def frames(here, figure):
    """Give where an axis of time begins and ends, in frames of the thirty a second."""
    shown = here.page.evaluate(
        "name => document.querySelector(`#${name} .plot`).layout.xaxis.range", figure
    )
    return [round(30 * at) for at in shown]


def test_reader_goes_along_a_recording_and_to_its_worst_stretch(recorded, reader):
    sweep, folder = recorded
    with serving(sweep.folder.parent.parent) as address:
        here = reader(address)
        here.open("/sweeps/small/predictions")
        here.draw_all()
        drawn = ["overview", "decoded", "activity"]
        here.wait_until(lambda: here.drawn() == drawn, "the dataset to be opened")
        assert frames(here, "decoded") == [2, 898]  # all windows of five frames, of 900 frames
        assert frames(here, "activity") == [2, 898]
        assert serious(here.page) == []
        where = here.page.locator("#where")
        assert where.inner_text().startswith("0:00.0 to 0:29.9 of 0:29.9")

        worst = here.page.locator("#worst a").first
        assert "span=224" in worst.get_attribute("href")  # a quarter of all, which is shown now
        here.page.get_by_role("link", name="0:10 min").click()
        here.wait_until(lambda: frames(here, "activity") == [300, 600], "a shorter stretch")
        here.page.keyboard.press("ArrowRight")
        here.wait_until(lambda: frames(here, "decoded") == [450, 750], "the next stretch")
        assert "at=450" in here.page.url
        begin = worst.inner_text().split(" ")[0]
        worst.click()
        here.wait_until(lambda: where.inner_text().startswith(begin), "the worst stretch")
        here.page.go_back()
        here.wait_until(lambda: frames(here, "decoded") == [450, 750], "the stretch before")
        bars = here.page.locator("#overview .plot .nsewdrag")
        bars.click(position={"x": 5, "y": 40})
        here.wait_until(lambda: frames(here, "decoded")[0] < 60, "what was clicked at")
        for link, first_frame in (("End", 598), ("Earlier", 448), ("Beginning", 2)):
            here.page.get_by_role("link", name=link).click()
            here.wait_until(lambda: frames(here, "decoded")[0] == first_frame, link)  # noqa: B023
        here.page.get_by_label("Configuration").select_option("trial 1")
        recording = here.page.locator("#chosen select[name=recording]")
        recording.select_option(recording.locator("option").first.inner_text())
        here.page.get_by_label("Fold that tests it").select_option("1")
        here.page.get_by_role("button", name="Show").click()
        here.page.wait_for_url("**fold=1**")
        here.draw_all()
        here.wait_until(lambda: here.drawn() == drawn, "what another fold said")
        assert here.page.get_by_label("Fold that tests it").input_value() == "1"
        here.darken("predictions-whole")
        assert serious(here.page) == []
        assert here.narrow("predictions-whole") == []
        here.open("/sweeps/small/predictions?recording=none")
        assert "No trained fold of trial 1 tests a recording 'none'." in (
            here.page.locator("#missing").inner_text()
        )
        assert (here.said, here.outside) == ([], [])

    shutil.rmtree(folder)
    with serving(sweep.folder.parent.parent) as address:
        here = reader(address)
        here.open("/sweeps/small/predictions")
        here.draw_all()
        here.wait_until(lambda: "No dataset at" in "".join(here.missing()), "word of the dataset")
        assert [text.split(":")[0] for text in here.missing()] == ["activity"]
        assert here.drawn() == ["overview", "decoded"]
        assert (here.said, here.outside) == ([], [])
