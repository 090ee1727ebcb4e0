import dataclasses
import html
import json
import re
import shutil
import statistics
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from calsweep.dashboards.page import plotly_js
from calsweep.dashboards.report import report, typical_fold, write_report
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.platform.arm import default_arms, default_reference
from calsweep.platform.comparison import compare
from calsweep.platform.config import compose_settings
from calsweep.platform.fold.training import Training
from calsweep.platform.leaderboard import leaderboard, nested_choice, nested_interval
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from tests.recorded import record_sweep

CHROMIUM = Path("/usr/bin/chromium")
MEBIBYTE = 2**20
OF_ARMS = ["spread", "boxes", "differences", "arm-rocs"]
OF_ONE = ["matrix", "roc", "confusion", "calibration", "learning", "stretch"]
EVERY_FIGURE = [*OF_ARMS, *OF_ONE]


class Page(HTMLParser):
    """Text, tables and figures of a page, and every address that a browser would fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.figures: dict[str, dict] = {}
        self._figure = ""
        self._kind = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.fetched += [given[name] for name in ("src", "href", "data") if given.get(name)]
        if tag == "figure":
            self._figure = given["id"]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        if tag in ("script", "style"):
            self._kind = given.get("type") or tag

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._kind = ""

    def handle_data(self, data):
        if self._kind == "application/json":
            self.figures[self._figure] = json.loads(data)
        elif not self._kind:
            self.text += data
            if self.rows and self.rows[-1]:
                self.rows[-1][-1] += data.strip() + " "


@pytest.fixture(scope="module")
def path(sweep, tmp_path_factory):
    return write_report(sweep, tmp_path_factory.mktemp("out") / "report.html")


@pytest.fixture(scope="module")
def page(path):
    return Page(path)


def row_of(page, name):
    return next(row for row in page.rows if any(cell.startswith(name) for cell in row[1:2]))


def test_header_says_what_was_decoded(page):
    for fact in ("tiny", "s3://lab/tiny", "da7a" * 16, "f01d" * 16, "7,500 at 10 Hz (12 min)"):
        assert fact in page.text
    assert "5 in 5 groups: m1; m2; m3; m4; m5" in page.text
    assert "Finished: 3 of 3 configurations are done; 60 folds are trained." in page.text


def test_table_shows_mean_and_spread(page, sweep):
    folds = sweep.trials[1].folds
    test = [fold.test.auc for fold in folds]
    row = [cell.strip() for cell in row_of(page, "trial 1")]
    assert row[0] == "1"
    assert row[1].startswith("trial 1 best recurrent (cell=gru, learning_rate=0.00312)")
    assert row[3] == f"{statistics.fmean(test):.3f} ± {statistics.stdev(test):.3f}"
    interval = leaderboard(sweep)[0].interval
    assert row[4] == f"{interval.low:.3f} to {interval.high:.3f}"
    assert row[5] == f"{statistics.fmean(fold.test.accuracy for fold in folds):.3f}"
    assert "93.8 % interval over 5 animals" in page.text


def test_baseline_is_marked(page):
    assert "linear baseline" in row_of(page, "baseline")[1]


def test_nested_choice_stands_beside(page, sweep):
    choices = nested_choice(sweep)
    figures = [choice.test_auc for choice in choices]
    mean = f"{statistics.fmean(figures):.3f} ± {statistics.stdev(figures):.3f}"
    assert page.text.count(mean) == 2
    interval = nested_interval(choices)
    assert f"({interval.low:.3f} to {interval.high:.3f}, 93.8 % interval over 5 test" in page.text
    shown = [row for row in page.rows if row and row[0].strip() in ("m1", "m5")]
    assert [row[2].strip() for row in shown] == [f"{figures[0]:.3f}", f"{figures[4]:.3f}"]


def test_every_figure_is_there_and_is_explained(page):
    assert list(page.figures) == EVERY_FIGURE
    for drawn in page.figures.values():
        assert drawn["layout"]["meta"]["reading"].endswith(".")
        assert drawn["layout"]["meta"]["reading"] in page.text


def test_comparison_stands_with_its_tests_and_the_sentence(page, sweep):
    arms = default_arms(sweep)
    pair = compare(arms, reference=default_reference(arms)).pairs[0]
    first = next(i for i, row in enumerate(page.rows) if "median 0.991" in str(row))
    row = [cell.strip() for cell in page.rows[first]]
    assert row[0].startswith("trial 1")
    assert "median 0.991, quartiles 0.983 to 0.996" in row[0]
    assert row[1] == f"{pair.mean_difference:+.3f}"
    assert row[2] == f"{pair.sign_flip.low:+.3f} to {pair.sign_flip.high:+.3f}"
    assert row[3:5] == ["< 0.001 *", "< 0.001 *"]
    assert row[6] == "0.125"
    assert page.rows[first + 2][1].startswith("what the others are compared with")
    assert "With 5 animals the smallest p the sign-flip test can give is 0.062" in page.text
    assert "93.8 % interval over animals" in page.text


def test_curve_along_a_searched_window_is_in_the_report(sweep, tmp_path):
    trials = [sweep.trials[0]]
    for number, length in enumerate((11, 21, 31), start=1):
        values = {"datasets.window.length": length}
        tried = {"number": number, "name": f"trial {number}", "values": values}
        trials.append(dataclasses.replace(sweep.trials[1], **tried))
    searched = dataclasses.replace(sweep, trials=tuple(trials))
    page = Page(write_report(searched, tmp_path / "report.html"))
    assert list(page.figures) == [*OF_ARMS, "curve-datasets.window.length", *OF_ONE]
    assert "Along window length" in page.text


def test_three_classes_have_a_curve_each_and_a_stretch_with_their_intervals(writer):
    written = writer()
    written.begin()
    written.trial(0)
    sweep = written.read()
    for fold in sweep.trials[0].folds:
        path = sweep.fold_folder(fold) / "predictions.parquet"
        table = pq.read_table(path)
        one = table["probability"].to_numpy() / 2
        for c, probability in enumerate((1 - 2 * one, one, one)):
            table = table.append_column(f"probability_{c}", pa.array(probability))
        label = np.where(np.arange(len(one)) % 3 == 0, 2, table["label"].to_numpy())
        table = table.drop_columns(["probability", "label"]).append_column("label", pa.array(label))
        pq.write_table(table, path, write_page_checksum=True)
    page = Page(write_report(sweep, written.home / "report.html"))
    assert list(page.figures) == ["spread", *OF_ONE]
    assert [t["name"] for t in page.figures["roc"]["data"]] == ["class 0", "class 1", "class 2"]
    assert len(page.figures["confusion"]["data"][0]["text"]) == 3
    drawn = page.figures["stretch"]["data"]
    assert [t["name"] for t in drawn[:3]] == ["class 0", "class 1", "class 2"]
    assert [t["y"][0] for t in drawn[3:]] == ["observed", "decoded", "wrong"]
    assert "where the most probable class is wrong, from the fold of median test AUC" in page.text


def test_activity_stands_below_what_was_decoded_from_it_where_it_is_at_hand(mice, tmp_path):
    view = dataclasses.replace(mice.view(length=5), folds=AnimalGroups(k_groups=3))
    settings = Settings(trainables=Linear(), datasets=view, training=Training(epochs=1))
    sweep = record_sweep(tmp_path, "small", {"linear": settings})
    page = Page(write_report(sweep, tmp_path / "report.html"))
    assert list(page.figures)[-2:] == ["stretch", "activity"]
    activity, stretch = page.figures["activity"], page.figures["stretch"]
    assert len(activity["data"][0]["y"]) == 50
    first, last = activity["layout"]["xaxis"]["range"]
    ends_s = [stretch["data"][1]["x"][i] for i in (0, -1)]
    assert [first, last - 1 / 30] == pytest.approx(ends_s, abs=1e-3)
    assert all(shape["type"] == "rect" for shape in activity["layout"]["shapes"])
    assert "intervals as decoded" in page.text
    elsewhere = {**sweep.dataset, "content_hash": "0" * 64}
    other = dataclasses.replace(sweep, dataset=elsewhere)
    assert "activity" not in Page(write_report(other, tmp_path / "report.html")).figures


def test_roc_areas_are_the_stored_figures(page, sweep):
    traces = page.figures["roc"]["data"]
    assert [trace["name"] for trace in traces[20:]] == ["linear baseline", "mean of 20 folds"]
    for trace, fold in zip(traces, sweep.trials[1].folds, strict=False):
        assert len(trace["x"]) <= 200
        area = sum(
            (right - left) * (low + high) / 2
            for left, right, low, high in zip(
                trace["x"], trace["x"][1:], trace["y"], trace["y"][1:], strict=False
            )
        )
        assert area == pytest.approx(fold.test.auc, abs=2e-3)


def test_stretch_is_of_the_median_fold_in_seconds(page, sweep):
    observed, decoded = page.figures["stretch"]["data"]
    assert len(observed["x"]) == 800
    assert observed["x"][1] - observed["x"][0] == pytest.approx(0.1)
    assert set(observed["y"]) == {0, 1}
    fold = typical_fold(sweep.trials[1])
    assert fold.test.auc == statistics.median_low(f.test.auc for f in sweep.trials[1].folds)
    assert f"(fold {fold.fold}, {fold.test.auc:.3f})" in page.text
    assert 0 <= min(decoded["y"]) <= max(decoded["y"]) <= 1


def test_method_and_notes_are_told(page):
    assert "5 groups of animals, 20 folds" in page.text
    assert "seed 7; calsweep 0.1.0+abc" in page.text
    assert "Detrending looks 500 frames ahead." in page.text
    assert "calsweep sweep datasets.address=s3://lab/tiny n_trials=2 seed=7 name=tiny-again" in (
        page.text
    )


def test_settings_that_cannot_be_composed_are_pointed_to(writer):
    other = {"seed": 7, "datasets": {}, "from": "another version"}
    written = writer(changes={"settings": other, "overrides": ["no.such=1"]})
    written.begin()
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert "The settings it was made with are in sweep.json" in page.text


def test_notes_of_folds_are_told_once_with_their_folds(writer):
    written = writer()
    written.begin()
    written.trial(0)
    sweep = written.read()
    trial = sweep.trials[0]
    folds = [
        dataclasses.replace(f, notes=("Starts at random.", *(["Short."] if i in (3, 5) else [])))
        for i, f in enumerate(trial.folds)
    ]
    noted = dataclasses.replace(sweep, trials=(dataclasses.replace(trial, folds=tuple(folds)),))
    page = Page(write_report(noted, written.home / "report.html"))
    assert page.text.count("Starts at random.") == 1
    assert "Training of baseline: Starts at random." in page.text
    assert "Training of baseline: fold 3, 5: Short." in page.text


def test_nothing_is_fetched(page, path):
    assert page.fetched == []
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
    own = path.read_text().replace(plotly_js(), "")
    assert not re.search(r"https?://|url\(|@import|\bfetch\(", own)


def test_file_is_small_enough_to_mail(path):
    assert path.stat().st_size < 3 * MEBIBYTE


def test_hostile_names_are_only_text(writer):
    hostile = "</script><script>alert(1)</script>"
    written = writer(
        name="<img src=x onerror=alert(1)>",
        subjects=(hostile, "m2", "m3", "m4", "m5"),
        notes=(hostile,),
    )
    written.begin()
    written.trial(0)
    written.trial(1, n_folds=2, error=f"ValueError: {hostile}")
    out = write_report(written.read(), written.home / "report.html")
    page = Page(out)
    assert "img" not in page.tags
    assert page.tags.count("script") == 9  # seven figures, Plotly, the page's own
    assert hostile in page.text
    assert html.escape(hostile) in out.read_text()
    assert "<script>alert" not in out.read_text()
    assert page.figures["matrix"]["layout"]["xaxis"]["ticktext"][0].startswith("&lt;/script")


def test_unfinished_sweep_says_so(writer):
    written = writer()
    written.begin()
    written.trial(0)
    written.trial(1, n_folds=7)
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert "Not finished: 1 of 3 configurations are done; 27 folds" in page.text
    assert "not finished, 7 of 20 folds done" in row_of(page, "trial 1")[2]
    assert list(page.figures) == ["spread", *OF_ONE]


def test_first_trial_under_way_is_drawn(writer):
    written = writer()
    written.begin()
    written.trial(0, n_folds=1)
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert "1 of 20 folds so far" in page.text
    assert "No configuration is finished yet." in page.text
    assert list(page.figures) == OF_ONE


def test_sweep_that_only_began_has_a_report(writer):
    written = writer()
    written.begin()
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert page.figures == {}
    assert "No fold is trained yet" in page.text
    assert "not begun" in row_of(page, "baseline")[2]


def test_failed_trial_shows_its_error(writer):
    written = writer()
    written.begin()
    written.trial(0)
    written.trial(1, n_folds=3, error="RuntimeError: out of memory")
    written.trial(2)
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert "failed, 3 of 20 folds done: RuntimeError: out of memory" in row_of(page, "trial 1")[2]
    assert "Finished: 2 of 3 configurations are done, 1 failed" in page.text


def test_controls_and_leaks_are_marked(writer):
    settings = compose_settings(["datasets.address=m1", "datasets.labels=permuted"])
    written = writer(settings=settings, leaky=True)
    written.begin()
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert "labels=permuted" in page.text
    assert "Leaky folds" in page.text


def test_plan_without_groups_has_no_matrix_and_says_why(writer):
    written = writer(grouped=False)
    written.begin()
    written.trial(0)
    written.trial(1)
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert list(page.figures) == [*OF_ARMS[:2], "arm-rocs", *OF_ONE[1:]]
    assert "A nested choice does not apply" in page.text
    assert "holds out frames" in page.text
    assert "Audit before training: clean with notes." in page.text


def test_leaks_stand_on_every_row_with_their_evidence(writer):
    written = writer(leaky=True)
    written.begin()
    written.trial(0)
    page = Page(write_report(written.read(), written.home / "report.html"))
    assert "leaky folds" in row_of(page, "baseline")[1]
    assert "30 frames of m1_a are in the training and the test part (fold 0)" in page.text
    assert "Audit before training: leaky." in page.text


def test_command_writes_beside_the_record(writer):
    written = writer()
    written.begin()
    run = CliRunner().invoke(report, ["tiny", "--home", str(written.home)])
    out = written.home / "sweeps/tiny/report.html"
    assert run.exit_code == 0
    assert run.output == f"{out}\n"
    assert out.exists()


def test_intervals_may_have_a_least_length(writer):
    written = writer()
    written.begin()
    written.trial(1)
    written.read()
    home = ["--home", str(written.home)]
    counts = {}
    for min_frames in (1, 100, 1000):
        out = written.home / f"{min_frames}.html"
        arguments = ["tiny", *home, "--out", str(out), "--min-frames", str(min_frames)]
        run = CliRunner().invoke(report, arguments)
        assert run.exit_code == 0, run.output
        page = Page(out)
        (row,) = [row for row in page.rows if row and row[0].strip() == "class 1"]
        counts[min_frames] = row[6].strip().replace(",", "")
        assert ("Those shorter than" in page.text) == (min_frames > 1)
    # Behavior comes in bouts of about 110 frames; the first and the last may be cut.
    assert int(counts[1]) > int(counts[100]) > 0
    assert counts[1000] == ""


def test_command_takes_another_place(writer, monkeypatch):
    written = writer()
    written.begin()
    monkeypatch.setenv("CALSWEEP_HOME", str(written.home))
    out = written.home / "new" / "page.html"
    run = CliRunner().invoke(report, ["tiny", "--out", str(out)])
    assert run.exit_code == 0
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_report_that_cannot_be_drawn_leaves_the_old_one(writer):
    written = writer()
    written.begin()
    written.trial(0)
    out = written.home / "report.html"
    out.write_text("old")
    sweep = written.read()
    shutil.rmtree(sweep.fold_folder(sweep.trials[0].folds[0]))
    with pytest.raises(FileNotFoundError):
        write_report(sweep, out)
    assert out.read_text() == "old"
    assert sorted(path.name for path in written.home.iterdir()) == ["report.html", "sweeps"]


@pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"needs a browser at {CHROMIUM}: apt-get install chromium"
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_browser_draws_every_figure_without_complaint(path, tmp_path, theme):
    run = browse(path, tmp_path, theme=theme)
    said = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert said == []
    assert run.stdout.count('class="plot-container') == len(EVERY_FIGURE)
    assert run.stdout.count('class="main-svg"') >= len(EVERY_FIGURE)
    assert run.stdout.count('class="save"') == len(EVERY_FIGURE)
    mark = {"light": "rgb(0, 114, 178)", "dark": "rgb(86, 180, 233)"}
    assert mark[theme] in run.stdout
    assert "linear baseline 0." in run.stdout


def browse(path: Path, profile: Path, *, theme: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}",
        "--window-size=1100,1400",
        "--virtual-time-budget=10000",
        "--enable-logging=stderr",
        "--dump-dom",
        path.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
