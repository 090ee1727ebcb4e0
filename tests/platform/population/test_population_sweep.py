"""A population of a decoder from the shell: its trials, going on after a kill, stop and replay."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calsweep.platform.config import compose_settings, settings_of, unheard
from calsweep.platform.leaderboard import leaderboard
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.population.member import read_member
from calsweep.platform.population.population_sweep import check_population
from calsweep.platform.population.state_file import write_state
from calsweep.platform.record import TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.trainables.decoder import Problem

ROOT = Path(__file__).parents[3]
PROBLEM = Problem(frame_shape=(50,), window_length=11)


def begin(mice, home, *more):
    return [
        "sweep", f"home={home}", "name=pop", f"datasets.address={mice.folder}",
        "datasets.window.length=11", "datasets.folds.k_groups=3", "training.batch_size=64",
        "training.epoch_fraction=0.5", "baseline_training.epochs=1", "trainables.n_hidden=4",
        "tuner=population", "search_spaces=optimization", "population.size=4",
        "population.generations=4", "resources.retries=20", *more,
    ]  # fmt: skip


@contextlib.contextmanager
def running(*arguments):
    """Run a command in a process of its own that can be killed."""
    with subprocess.Popen(
        [sys.executable, "-m", "calsweep.platform", *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def rows(home):
    """What has to be the same however often a sweep was killed."""
    sweep = read_sweep(home, "pop")
    lineage = Lineage(sweep.folder)
    lives = [
        (number, life.member, life.parent, dict(life.values), life.score)
        for number in range(1, lineage.n_generations + 1)
        for life in lineage.generation(number).values()
    ]
    folds = [
        (trial.name, trial.state, dict(trial.values), fold.key, fold.validation, fold.test)
        for trial in sweep.trials
        for fold in trial.folds
    ]
    return lives, folds


@pytest.fixture(scope="module")
def swept(mice, tmp_path_factory):
    """A sweep that was left alone: its home, and what it said."""
    home = tmp_path_factory.mktemp("home")
    with running(*begin(mice, home)) as process:
        out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    return home, out


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
class TestSweep:
    def test_members_are_trials_beside_the_baseline(self, swept):
        sweep = read_sweep(swept[0], "pop")
        names = ["baseline", "member 1", "member 2", "member 3", "member 4"]
        assert [trial.name for trial in sweep.trials] == names
        assert {trial.state for trial in sweep.trials} == {TrialState.DONE}
        assert [len(trial.folds) for trial in sweep.trials] == [6] * 5
        assert sweep.is_over
        assert {row.trial.name for row in leaderboard(sweep)} == set(names)
        lineage = Lineage(sweep.folder)
        for trial in sweep.trials[1:]:
            life = lineage.generation(4)[trial.number]
            assert trial.values == life.values
            training = trial.settings["training"]
            assert training["epochs"] == 4
            assert training["learning_rate"] == life.values["training.learning_rate"]
            for fold in trial.folds:
                assert [row.epoch for row in fold.curve] == [1, 2, 3, 4]
                assert fold.best_epoch == min(fold.curve, key=lambda row: row.validation.loss).epoch
            last = [fold.curve[-1].validation.loss for fold in trial.folds]
            assert life.score == pytest.approx(sum(last) / 6, rel=1e-12)

    def test_progress_is_told_by_generation(self, swept):
        assert "a population of 4 (the linear baseline first) x 6 folds" in swept[1]
        assert "generation 3/4 · best loss" in swept[1]
        assert "The population is over: 4 generations are done." in swept[1]
        assert "calsweep promote pop" in swept[1]

    def test_nothing_is_left_lying_about(self, swept):
        folder = swept[0] / "sweeps" / "pop"
        names = sorted(path.name for path in (folder / "members").iterdir())
        assert names == ["0004-001", "0004-002", "0004-003", "0004-004"]
        assert [
            path.name for path in (folder / "folds").glob(".*") if "lock" not in path.name
        ] == []

    def test_mlflow_report_and_promotion_work_on_it(self, swept, calsweep, ask_mlflow):
        import mlflow

        home = swept[0]
        ask_mlflow(home)
        runs = mlflow.search_runs(experiment_names=["calsweep/pop"], max_results=100)
        assert len(runs) == 5 + 5 * 6
        assert set(runs.status) == {"FINISHED"}
        code, out, err = calsweep("report", "pop", "--home", home)
        assert code == 0, err
        page = (home / "sweeps/pop/report.html").read_text()
        for title in ("Losses over generations", "Who went on from whom", "How weight decay went"):
            assert title in page
        code, out, err = calsweep("promote", "pop", "--home", home, "--name", "p")
        assert code == 0, err
        assert "models:/p@champion is version 1" in out

    def test_member_is_replayed_to_the_same_bits(self, swept, calsweep):
        for member in (1, 4):
            code, out, err = calsweep("replay", "pop", member, "--home", swept[0])
            assert code == 0, out + err
            assert out.count("(the same)") == 4
            assert "every loss, weight and state of the optimizer is the same" in out
        code, _, err = calsweep("replay", "pop", 7, "--home", swept[0])
        assert code == 2
        assert "no living member 7. There are: 1, 2, 3, 4." in err

    def test_replay_sees_a_weight_that_differs(self, swept, calsweep, tmp_path):
        import shutil

        import torch

        home = tmp_path / "home"
        shutil.copytree(swept[0], home)
        place = home / "sweeps/pop/members/0004-002"
        plain = read_member(place)
        weights = plain["state"]["folds"][3]["trainee"]["module"]["readout.weight"]
        weights[0, 0] = torch.nextafter(weights[0, 0], torch.tensor(9.0))
        write_state(place, plain)
        code, out, _ = calsweep("replay", "pop", 2, "--home", home)
        assert code == 1
        assert "Member 2 differs: folds.3.trainee.module.readout.weight." in out

    def test_population_that_is_over_trains_nothing(self, swept, calsweep):
        before = rows(swept[0])
        code, out, err = calsweep("resume", "pop", "--home", swept[0])
        assert code == 0, err
        assert "run to its end before; nothing to train" in out
        code, _, err = calsweep("stop", "pop", "--home", swept[0])
        assert "is over already: 4 generations are done" in err
        assert rows(swept[0]) == before

    def test_killed_in_the_middle_it_goes_on_and_ends_as_if_it_had_not_been(
        self, mice, swept, tmp_path, calsweep
    ):
        lineage = tmp_path / "sweeps/pop/lineage.jsonl"
        with running(*begin(mice, tmp_path)) as process:
            wait_until(lambda: n_lines(lineage) >= 6)
            process.kill()
            process.wait()
        assert 6 <= n_lines(lineage) < 16
        code, out, err = calsweep("resume", "pop", "--home", tmp_path)
        assert code == 0, err
        assert "Going on at generation" in out
        assert rows(tmp_path) == rows(swept[0])

    def test_stopped_by_hand_its_members_are_trials_all_the_same(self, mice, tmp_path, calsweep):
        (tmp_path / "sweeps/pop").mkdir(parents=True)
        (tmp_path / "sweeps/pop/stop").touch()
        code, out, err = calsweep(*begin(mice, tmp_path, "population.generations=50"))
        assert code == 0, err
        assert "The population is over: stopped by hand." in out
        sweep = read_sweep(tmp_path, "pop")
        assert [len(trial.folds[0].curve) for trial in sweep.trials[1:]] == [1] * 4
        assert sweep.is_over


def n_lines(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_until(is_so):
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it never came to it"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["population.size=1"], "`size >= 2` must hold"),
        (["population.generations=1"], "the population could never exploit"),
        (["population.exploit=quantile", "population.size=3"], "nobody would be in the quantile"),
        (["n_trials=5"], "give population.size"),
        (["population.sise=5"], "`population.sise` is not a setting. Did you mean `size`?"),
        (["search_spaces=architecture"], "it gives choices"),
        (["search_spaces=regularization"], "`training.label_smoothing` cannot be changed"),
        (["training.schedule=cosine"], "`training.schedule=constant` and"),
        (["training.patience=3"], "ends by population.patience"),
        (["trainables=cnn_gru", "datasets=widefield_images"], "a decoder of two steps"),
        (
            ["+search_spaces.trainables.n_hiden={low: 0.1, high: 0.9}"],
            "`trainables.n_hiden` is not a setting. Did you mean `n_hidden`?",
        ),
        (
            ["+search_spaces.trainables.n_hidden={low: 8.5, high: 16.5}"],
            "`trainables.n_hidden` takes whole numbers alone, as sizes that change the shapes",
        ),
        (
            ["+search_spaces.training.batch_size={low: 64.5, high: 128.5}"],
            "`training.batch_size` takes whole numbers alone",
        ),
        (
            ["search_spaces.training.label_smoothing.mutation={bounds: soft}"],
            "`training.label_smoothing` must not leave its range for ever",
        ),
        (
            ["search_spaces.training.learning_rate.mutation={factor: [1.1, 1.3]}"],
            "`0 < factor[0] < 1 < factor[1]` must hold",
        ),
    ],
)
def test_population_that_cannot_work_is_refused_at_once(calsweep, mice, more, message):
    code, _, err = calsweep(
        "sweep", "home=home", f"datasets.address={mice.folder}", "tuner=population",
        "search_spaces=optimization", *more,
    )  # fmt: skip
    assert code == 2
    assert message in err, err
    assert not Path("home/sweeps").exists()


@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        (["population.size=4"], "`population.size` is heard by tuner=population alone."),
        (["training.epochs=4", "tuner=population"], "`training.epochs` is not heard by a pop"),
    ],
)
def test_setting_that_is_not_heard_is_told(overrides, note):
    all_of_them = ["datasets.address=m1", "search_spaces=optimization", *overrides]
    (line,) = unheard(all_of_them, compose_settings(all_of_them))
    assert line.startswith(note)


def test_settings_of_a_sweep_are_those_it_was_begun_with(mice, tmp_path):
    overrides = begin(mice, tmp_path)[1:]
    settings = compose_settings(overrides)
    folder = tmp_path / "sweeps" / "pop"
    folder.mkdir(parents=True)
    check_population(settings, PROBLEM)
    from calsweep.datasets.fold import animal_folds
    from calsweep.platform.plain import to_plain

    plan = animal_folds(mice.manifest, target="run")
    described = {
        "settings": settings.intent, "overrides": list(overrides), "plan": to_plain(plan),
        "dataset": {"address": str(mice.folder)}, "plan_hash": "", "code_version": "",
        "verdict": {"_target_": "calsweep.datasets.audit.Verdict"}, "n_planned": 5,
    }  # fmt: skip
    for text in (described, {**described, "overrides": []}):
        (folder / "sweep.json").write_text(json.dumps(text))
        again = settings_of(read_sweep(tmp_path, "pop"), home=tmp_path)
        assert again.intent == settings.intent
        assert again.sweep_name == "pop"
    (folder / "sweep.json").write_text(json.dumps(described))
    assert settings_of(read_sweep(tmp_path, "pop"), home=tmp_path).resources.retries == 20
