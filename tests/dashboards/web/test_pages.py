"""Every page in a real browser, on the record of a sweep."""

import csv
import json
import shutil
import urllib.error
import urllib.request

import pytest

from calsweep.platform.leaderboard import leaderboard
from tests.dashboards.web.served import crowded, serious, serving

FIGURES = {
    "": ["history", "parallel", "spread"],
    "/folds": ["matrix", "groups", "roc", "confusion", "calibration", "learning"],
    "/predictions": ["overview", "decoded"],  # its dataset is nowhere
    "/population": [],
    "/explanations": [],
    "/compare": ["boxes", "differences", "arm-rocs"],
    "/data": ["plan"],  # its dataset is nowhere
}

RUNNING = {  # three folds of the first configuration
    **FIGURES,
    "": [],
    "/compare": [],
}


@pytest.mark.parametrize("path", FIGURES)
def test_page_is_drawn_whole_readable_by_all_and_asks_nobody_else(address, reader, path):
    here = reader(address)
    assert here.open(f"/sweeps/tiny{path}") == 200
    here.draw_all()
    name = path.strip("/") or "sweep"
    here.shoot(name)
    assert here.drawn() == FIGURES[path]
    assert serious(here.page) == []
    assert crowded(here.page) == []
    here.darken(name)
    assert serious(here.page) == []
    assert crowded(here.page) == []
    assert here.narrow(name) == []
    assert (here.said, here.outside) == ([], [])


def test_list_shows_each_sweep_and_leads_to_it(address, reader):
    here = reader(address, color_scheme="dark")
    here.open()
    cells = here.page.locator("#list tbody td").all_inner_texts()
    assert cells[0].splitlines() == ["tiny", "run · s3://lab/tiny"]
    assert cells[1].startswith("finished")
    assert cells[2].strip() == "100 %"
    assert cells[3:6] == ["60 of 60", "3 of 3", "–"]
    assert cells[7].startswith("60 device-s")
    assert serious(here.page) == []
    here.shoot("sweeps-dark")
    here.page.get_by_role("link", name="tiny").click()
    here.page.wait_for_selector("#leaderboard")
    assert here.page.locator("h1").inner_text() == "tiny"
    assert (here.said, here.outside) == ([], [])


def test_filters_keep_the_baseline_in_sight_and_the_file_has_what_is_shown(
    address, reader, sweep, tmp_path
):
    here = reader(address)
    here.open("/sweeps/tiny")
    board = here.page.locator("#board tr")
    assert board.count() == 4
    assert "93.8 % INTERVAL OVER 5 ANIMALS" in board.first.inner_text().upper()
    interval = leaderboard(sweep)[0].interval
    assert f"{interval.low:.3f} to {interval.high:.3f}" in board.nth(1).inner_text()
    here.page.get_by_label("Name or setting").fill("cell=gru")
    here.page.get_by_role("button", name="Show").click()
    here.page.wait_for_url("**text=cell%3Dgru**")
    assert [row.split()[1:3] for row in board.all_inner_texts()[1:]] == [
        ["trial", "1best"],
        ["baselinelinear", "baseline"],
    ]
    assert "1 of 3 configurations" in here.page.locator("#board").inner_text()
    with here.page.expect_download() as download:
        here.page.get_by_role("link", name="Download as CSV").click()
    download.value.save_as(tmp_path / "board.csv")
    lines = list(csv.DictReader((tmp_path / "board.csv").open()))
    assert [line["configuration"] for line in lines] == ["trial 1"]
    assert float(lines[0]["test_auc"]) == leaderboard(sweep)[0].test_auc
    assert float(lines[0]["interval_low"]) == leaderboard(sweep)[0].interval.low
    assert lines[0]["trainables.cell"] == "gru"
    assert lines[0]["audit"] == "clean with notes"
    here.page.get_by_label("Name or setting").fill("")
    here.page.get_by_label("Decoder").select_option("linear")
    here.page.get_by_label("State").select_option("done")
    here.page.get_by_role("button", name="Show").click()
    here.page.wait_for_url("**decoder=linear**")
    assert "1 of 3 configurations" in here.page.locator("#board").inner_text()
    assert (here.said, here.outside) == ([], [])


def test_configuration_and_folds_are_chosen(address, reader):
    here = reader(address)
    here.open("/sweeps/tiny")
    here.page.get_by_role("link", name="trial 2").click()
    here.page.wait_for_selector("#chosen")
    assert "trial 2: recurrent (cell=simple" in here.page.locator("#chosen").inner_text()
    here.page.get_by_label("Configuration").select_option("trial 1")
    here.page.get_by_label("Learning curves of folds").select_option(["3", "5"])
    here.page.get_by_role("button", name="Show").click()
    here.page.wait_for_url("**fold=3&fold=5**")
    assert "trial 1: recurrent (cell=gru" in here.page.locator("#chosen").inner_text()
    here.draw_all()
    names = here.page.evaluate("document.querySelector('#learning .plot').data.map(t => t.name)")
    assert names[:3] == ["training, fold 3", "training, fold 5", "training, mean"]
    assert (here.said, here.outside) == ([], [])


def test_arms_are_chosen_and_tested(address, reader):
    here = reader(address)
    here.open("/sweeps/tiny/compare")
    assert here.page.locator("#comparison tbody tr").count() == 3
    here.page.locator("select[name=arm]").select_option(["trial 1", "baseline"])
    here.page.get_by_role("button", name="Compare").click()
    here.page.wait_for_url("**arm=trial+1&arm=baseline**")
    assert here.page.locator("#comparison tbody tr").count() == 2
    assert "what the others are compared with" in here.page.locator("#comparison").inner_text()
    said = here.page.locator("#findings li").all_inner_texts()
    assert said[0].startswith("trial 1 differs from baseline: its test AUC is higher by 0.078")
    notes = here.page.locator("#comparison [role=note]").all_inner_texts()
    assert any(note.startswith("With 5 animals the smallest p") for note in notes)
    assert (here.said, here.outside) == ([], [])


def test_empty_folder_says_what_to_run(reader, tmp_path):
    with serving(tmp_path / "none") as address:
        here = reader(address)
        assert here.open() == 200
        assert "calsweep demo" in here.page.locator("#list").inner_text()
        here.shoot("empty")
        assert serious(here.page) == []
        assert (here.said, here.outside) == ([], [])


def test_running_sweep_goes_on_under_the_readers_eyes(reader, writer):
    written = writer()
    written.begin()
    with serving(written.home) as address:
        here, board = reader(address), reader(address)
        here.open("/sweeps/tiny/folds")
        assert "calsweep resume tiny" in here.page.locator("#missing").inner_text()
        written.trial(0, n_folds=3)
        here.page.wait_for_selector("#matrix")  # the page sees by itself that there is something
        for path, figures in RUNNING.items():
            assert here.open(f"/sweeps/tiny{path}") == 200
            here.draw_all()
            assert here.drawn() == figures
            here.shoot(f"{path.strip('/') or 'sweep'}-running")
        here.open()
        board.open("/sweeps/tiny")
        board.page.get_by_label("Name or setting").fill("typed")
        folds = here.page.locator("#list tbody td").nth(3)
        assert folds.inner_text() == "3 of 60"
        assert "not finished, 3 of 20 folds done" in board.page.locator("#board").inner_text()
        written.trial(1)
        here.wait_until(lambda: folds.inner_text() == "23 of 60", "the list to follow")
        board.wait_until(
            lambda: "trial 1" in board.page.locator("#board").inner_text(), "the board to follow"
        )
        assert board.page.get_by_label("Name or setting").input_value() == "typed"
        here.shoot("sweeps-running")
        for number in range(3, 30):
            written.trial(number, n_folds=0, error="ValueError: no such cell")
        last = board.page.get_by_text("page 1 of 2")
        board.wait_until(lambda: last.count() == 1, "a second page")
        board.page.get_by_role("link", name="Next").click()
        board.page.wait_for_url("**page=2")
        assert "failed, 0 of 20 folds done: ValueError: no such cell" in (
            board.page.locator("#board tbody").inner_text()
        )
        assert "linear baseline" in board.page.locator("#board tfoot").inner_text()
        board.page.get_by_role("link", name="Better ones").click()
        board.page.wait_for_selector("text=page 1 of 2")
        assert here.said + board.said == []


def test_what_is_damaged_is_told_in_its_place(reader, writer):
    written = writer()
    written.begin()
    for number in (0, 1, 2):
        written.trial(number)
    sweep = written.read()
    whole, _, lost = sweep.trials
    (sweep.fold_folder(whole.folds[4]) / "predictions.parquet").unlink()
    shutil.rmtree(sweep.fold_folder(lost.folds[0]))
    with (sweep.folder / "record.jsonl").open("a") as record:
        record.write('{"event": "fold", "tri')
    broken = sweep.folder.parent / "broken"
    broken.mkdir()
    (broken / "sweep.json").write_text('{"settings": ')
    with serving(written.home) as address:
        here = reader(address)
        here.open()
        assert "its record was cut short" in here.page.locator("#list").inner_text()
        assert here.open("/sweeps/broken") == 200
        assert "cannot be read" in here.page.locator("#missing").inner_text()
        here.open("/sweeps/tiny")
        board = here.page.locator("#board").inner_text()  # the record has every figure
        assert all(trial.name in board for trial in sweep.trials)
        assert "failed" not in board
        here.open(f"/sweeps/tiny/folds?trial={lost.name}")
        here.draw_all()
        (missing,) = [text for text in here.missing() if text.startswith("learning")]
        assert "fold.json" in missing
        here.open("/sweeps/tiny/folds?trial=baseline")
        here.draw_all()
        assert here.drawn() == ["matrix", "groups", "learning"]
        lost = ["roc", "confusion", "calibration"]
        assert [text.split(":")[0] for text in here.missing()] == lost
        assert "predictions.parquet" in here.missing()[0]
        here.shoot("damaged")
        here.open("/sweeps/tiny/folds?trial=none")
        assert "No configuration 'none'" in here.page.locator("#missing").inner_text()
        here.open("/sweeps/tiny/compare?arm=trial 1&arm=none")
        assert "No configuration 'none'" in here.page.locator("#missing").inner_text()
        assert (here.said, here.outside) == ([], [])


def test_names_from_data_are_only_text(reader, writer):
    hostile = "</script><script>alert(1)</script>"
    name = "<img src=x onerror=alert(1)>"
    written = writer(name=name, subjects=(hostile, "m2", "m3", "m4", "m5"), notes=(hostile,))
    written.begin()
    written.trial(0)
    written.trial(1, n_folds=2, error=f"ValueError: {hostile}")
    with serving(written.home) as address:
        here = reader(address)
        here.page.on("dialog", lambda dialog: here.said.append(dialog.message))
        here.open()
        here.page.get_by_role("link", name=name).click()
        here.page.wait_for_selector("#leaderboard")
        at = here.page.url.removeprefix(address)
        for path in FIGURES:
            here.open(f"{at}{path}")
            here.draw_all()
            assert here.page.locator("h1").inner_text() == name
            assert here.page.locator("img").count() == 0
        assert hostile in here.page.locator("#audit").inner_text()
        assert (here.said, here.outside) == ([], [])


def answer(address, path, **headers):
    request = urllib.request.Request(f"{address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_only_sweeps_that_are_there_are_opened(address):
    for path in ("/sweeps/none", "/sweeps/..%2F..", "/sweeps/tiny/none", "/none"):
        status, text = answer(address, path)
        assert status == 404
        assert "Nothing here" in text
    assert "Did you mean `tiny`?" in answer(address, "/sweeps/tinny")[1].replace("&#34;", '"')
    status, text = answer(address, "/sweeps/tiny/figure/none")
    assert status == 200
    told = {"missing": "There is no figure 'none' of this sweep.", "again": False}
    assert json.loads(text) == told


def test_page_of_another_name_is_refused_what_lies_here(address):
    assert answer(address, "/", Host="evil.example")[0] == 400
