"""Sweeps that an MLflow holds and the home does not; and an MLflow that does not answer."""

import pytest

from calsweep.platform.tracking.tracking import Tracker
from tests.dashboards.web.served import serious, serving
from tests.platform.written_sweep import NOWHERE, Writer


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """Give the address of an MLflow that holds a sweep of one configuration on two folds."""
    home = tmp_path_factory.mktemp("elsewhere")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    sweep = Writer(home=home, name="far <b>away</b>").done()
    Tracker(uri, home=home, sweep=sweep.name).sync(sweep)
    return uri


def test_sweeps_of_an_address_are_listed_with_their_folds(uri, reader, tmp_path):
    with serving(tmp_path, "--tracking-uri", uri) as address:
        here = reader(address)
        here.open()
        stored = here.page.locator("#stored")
        here.wait_until(lambda: "far <b>away</b>" in stored.inner_text(), "MLflow's answer")
        cells = stored.locator("tbody td").all_inner_texts()
        assert cells[2:] == ["2", "1", "0.812", "0.000833"]  # of AUC 0.75 and 0.875; 3 s
        assert serious(here.page) == []
        stored.get_by_role("link").click()
        here.page.wait_for_selector("#board")
        assert here.page.locator("h1").inner_text() == "far <b>away</b>"
        row = here.page.locator("#board tbody tr").inner_text().split("\t")
        assert row[1:] == ["finished", "2", "0.812 ± 0.088", "0.625 ± 0.177", "0:03",
                           "clean with notes"]  # fmt: skip
        here.draw_all()
        here.wait_until(lambda: here.drawn() == ["spread"], "the table of folds")
        folds = here.page.locator("#folds tbody tr")
        here.wait_until(lambda: folds.count() == 2, "the table of folds")
        assert folds.nth(1).inner_text().split("\t") == ["1", "0.8750", "0.7500", "2", "1.5"]
        assert serious(here.page) == []
        assert here.narrow("mlflow") == []
        assert here.open("/mlflow/none") == 404
        here.said.clear()  # the browser notes that the answer was 404
        here.open("/mlflow/far <b>away<%2Fb>?trial=none")
        assert "No configuration none." in here.page.locator("#missing").inner_text()
        assert (here.said, here.outside) == ([], [])


def test_mlflow_that_does_not_answer_leaves_the_records(finished_home, reader):
    with serving(finished_home, "--tracking-uri", NOWHERE) as address:
        here = reader(address)
        here.open()
        assert "60 of 60" in here.page.locator("#list").inner_text()
        away = here.page.locator("#away")
        said = "Sweeps of this home are shown from their own record"
        here.wait_until(lambda: said in away.inner_text(), "word of it")
        assert "secret" not in here.page.content()
        here.page.get_by_role("link", name="tiny").click()
        here.page.wait_for_selector("#leaderboard")
        assert here.open("/mlflow/tiny") == 200
        assert (here.said, here.outside) == ([], [])
