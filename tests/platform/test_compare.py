"""`calsweep compare` on records as a sweep writes them."""

import csv
import json
from functools import partial

import pytest

from calsweep.datasets.audit import Verdict
from calsweep.platform.command import main
from calsweep.platform.score import Score
from tests.platform.scored_sweep import LEAK, pair_plan, scored_sweep, scored_trial, write_sweep


def write(home, *, name="s", aucs=(0.80, 0.85, 0.90), verdict=None, n_frames=100):
    """Write a sweep whose configurations have a mean AUC each, and the same spread over folds."""
    plan = pair_plan(n_frames=n_frames)

    def score(number, fold):
        spread = (fold.test_group - 2) / 100 + ((fold.index * 7 + number * 3) % 5) / 1000
        return Score(loss=0.5, auc=aucs[number] + spread, accuracy=aucs[number] - 0.1)

    trials = [
        scored_trial(plan, number, partial(score, number), verdict=verdict)
        for number in range(len(aucs))
    ]
    write_sweep(home, scored_sweep(plan, trials, name=name, verdict=verdict))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CALSWEEP_HOME", str(tmp_path))
    write(tmp_path)
    return tmp_path


@pytest.fixture
def compare(capsys, home):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, arguments)])
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    return run


def cells(out, name):
    """Give the cells of the lines that begin with a name."""
    lines = [line for line in out.splitlines() if line.startswith(f"│ {name}")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_configurations_of_a_sweep_against_the_baseline(compare):
    code, out, _ = compare("s")
    assert code == 0
    (arm,), (pair,) = cells(out, "trial 2: linear"), cells(out, "trial 2  ")
    assert arm == [
        "trial 2: linear", "0.9020 ± 0.0148", "0.9025", "0.8908 to 0.9125", "0.0218", "clean"
    ]  # fmt: skip
    assert pair[:3] == ["trial 2", "+0.1000", "+0.0997 to +0.1010"]
    assert pair[-1] == "0.125 (0.062)"
    assert "93.8 % interval" in out
    assert "Difference of test AUC to baseline, and p after Holm's correction" in out
    said = " ".join(out.split())
    assert "With 5 animals the smallest p the sign-flip test can give is 0.062 (0.12 after" in said
    assert "7 animals are the fewest that can." in said
    assert "folds share training animals, so both find differences too easily" in said


def test_all_pairs(compare):
    _, out, _ = compare("s", "--all-pairs")
    assert cells(out, "trial 2 - trial 1")[0][1] == "+0.0500"
    assert "p after Holm's correction for 3 comparisons" in out


def test_chosen_arms_and_reference(compare):
    _, out, _ = compare("s", "--arm", "2", "--arm", "baseline", "--reference", "trial 1")
    assert [cells(out, name)[1][1] for name in ("trial 2", "baseline")] == ["+0.0500", "-0.0500"]
    assert "to trial 1" in out


def test_nested_choice_against_the_baseline(compare):
    _, out, _ = compare("s", "--arm", "nested", "--arm", "baseline")
    assert cells(out, "nested")[1][1:3] == ["+0.1000", "+0.0997 to +0.1010"]
    assert "nested: chosen for each test group without it" in out


def test_sweeps_are_compared_by_their_best(compare, home):
    write(home, name="raw", aucs=(0.7, 0.75))
    _, out, _ = compare("s", "raw")
    assert cells(out, "raw: trial 1")[1][1] == "-0.1500"
    assert "s, raw: test AUC of run over 20 folds" in out


def test_other_folds_leave_the_rank_sum_and_say_why(compare, home):
    write(home, name="short", n_frames=50)
    code, out, _ = compare("s", "short")
    assert code == 0
    assert "rank-sum" in out
    assert "sign-flip" not in out
    assert "have different fold plans" in out
    assert "only the rank-sum test applies" in " ".join(out.split())


def test_leaks_stand_beside_each_arm(compare, home):
    write(home, name="leaky", verdict=Verdict(findings=(LEAK,)))
    _, out, _ = compare("s", "leaky")
    assert cells(out, "leaky: trial 2: linear")[0][-1] == "LEAKY"
    assert cells(out, "s: trial 2: linear")[0][-1] == "clean"
    assert "LEAKY FOLDS" in out
    assert "Leak in leaky: 90 frames of m0 are in windows" in out


def test_csv_has_a_line_a_pair(compare, tmp_path):
    out = tmp_path / "new" / "table.csv"
    assert compare("s", "--figure", "accuracy", "--out", out)[0] == 0
    with out.open() as file:
        lines = list(csv.DictReader(file))
    assert [line["arm"] for line in lines] == ["s: trial 2", "s: trial 1"]
    assert lines[0]["figure"] == "accuracy"
    assert lines[0]["reference"] == "s: baseline"
    assert float(lines[0]["mean_difference"]) == pytest.approx(0.1)
    assert float(lines[0]["sign_flip_p"]) == 0.0625
    assert float(lines[0]["sign_flip_holm"]) == 0.125


def test_json_is_all_of_it(compare, tmp_path):
    out = tmp_path / "table.json"
    _, printed, _ = compare("s", "--json", "--out", out)
    told = json.loads(printed)
    assert told == json.loads(out.read_text())
    assert [arm["name"] for arm in told["arms"]] == ["s: trial 2", "s: trial 1", "s: baseline"]
    assert told["arms"][0]["mean"] == pytest.approx(0.902)
    assert told["arms"][0]["audit"] == "clean"
    assert told["pairs"][0]["sign_flip"]["n"] == 5
    assert told["pairs"][0]["sign_flip"]["level"] == 0.9375
    assert told["unit"] == "animals"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`calsweep compare` needs a sweep, or `--arm SWEEP:TRIAL`"),
        (["s", "--arm", "7"], "No configuration '7' in 's'. There are: baseline, best, nested, t"),
        (["--arm", "2"], "but got '2': write for instance `SWEEP:2`"),
        (["t"], "No sweep 't'. There are: s."),
        (["s", "--arm", "1"], "needs two finished configurations, but there is s: trial 1"),
        (["s", "--arm", "1", "--arm", "trial 1"], "s: trial 1 is given twice"),
        (["s", "--alpha", "5"], "`0 < alpha < 1` must hold, but got alpha=5.0"),
        (
            ["s", "--out", "table.xlsx"],
            "`--out` must name a file .csv or .json, but got table.xlsx",
        ),
        (["s", "--all-pairs", "--reference", "1"], "`--all-pairs` has no reference"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, arguments, message):
    code, out, err = compare(*arguments)
    assert code == 2
    assert message in err
    assert out == ""


def test_searches_are_cut_to_an_equal_budget(compare, home):
    """Folds of these sweeps took a second each: three configurations beside two."""
    write(home, name="long", aucs=(0.80, 0.70, 0.75, 0.95))
    write(home, name="short", aucs=(0.80, 0.70, 0.90))
    code, out, _ = compare("short", "long", "--equal-budget", "device")
    said = " ".join(out.split())
    assert code == 0
    assert "short 2 of 2 configurations, of long 2 of 3 configurations are within it" in said
    assert "short: trial 2" in said
    assert "long: trial 2" in said
    assert "long: trial 3" not in said


@pytest.mark.parametrize("more", [["--arm", "s:best"], ["--reference", "s:best"]])
def test_equal_budget_chooses_what_is_compared(compare, more):
    code, _, err = compare("s", "--equal-budget", "cpu", *more)
    assert code == 2
    assert "name sweeps alone" in err
