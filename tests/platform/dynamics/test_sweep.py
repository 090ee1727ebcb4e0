"""LFADS and RADICaL from the shell: a population, the rates it leaves, what they are worth."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest

from calsweep.datasets.lorenz import Form, Lorenz
from calsweep.datasets.shard_writer import write_dataset
from calsweep.platform.config import compose_dynamics
from calsweep.platform.dynamics.inferred import read_inferred
from calsweep.platform.dynamics.rate_scores import (
    INFERRED,
    SMOOTHED,
    Asked,
    score_rates,
)
from calsweep.platform.dynamics.settings import datasets_of
from calsweep.platform.dynamics.sweep import run_dynamics
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.population.population_run import read_dynamics
from calsweep.platform.statistics import paired_t

pytestmark = pytest.mark.usefixtures("local_ray")

SMALL = (
    "trainables.n_generator=16", "trainables.n_factors=8", "trainables.n_controller=8",
    "trainables.n_initial_encoder=8", "trainables.n_input_encoder=8", "trainables.n_initial=8",
    "population.size=3", "population.generation=2", "population.generations=3", "n_samples=3",
    "datasets.condition=condition", "datasets.measures=[x,y,z]", "name=small",
)  # fmt: skip


@pytest.fixture(scope="module")
def lorenz(tmp_path_factory):
    """Fifteen trials of three conditions and 66 neurons, in bins of 10 ms."""
    folder = tmp_path_factory.mktemp("lorenz") / "lorenz"
    simulator = Lorenz(speed_hz=10, n_conditions=3, trials_per_condition=5, n_neurons=66)
    write_dataset(simulator.recordings(), folder=folder)
    return folder


def compose(lorenz, home, *more):
    return compose_dynamics([f"datasets.address={lorenz}", f"home={home}", *SMALL, *more])


@pytest.fixture(scope="module")
def inferred(lorenz, local_ray, empty_mlflow, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_mlflow, home / "mlflow.db")
    said = []
    return home, run_dynamics(compose(lorenz, home), say=said.append), said


def test_population_leaves_the_rates_of_its_best_member(inferred):
    home, left, said = inferred
    lineage = Lineage(left.folder)
    last = lineage.generation(3)
    assert sorted(last) == [1, 2, 3]
    assert left.best.score == min(life.score for life in last.values())
    assert sum(line.startswith("generation ") for line in said) == 3
    best = json.loads((left.folder / "best.json").read_text())
    assert (best["member"], best["loss"]) == (left.best.member, left.best.score)
    file = left.files["lorenz_10hz"]
    assert pq.read_schema(file).names == ["trial", "bin", "rates", "factors", "inputs"]
    rates = np.concatenate(list(read_inferred(file, "rates")))
    assert rates.shape == (15, 90, 66)
    assert (rates > 0).all()
    assert (
        read_dynamics(home, "small").intent
        == json.loads((left.folder / "sweep.json").read_text())["settings"]
    )


def test_stacked_population_comes_to_the_same_and_goes_on(inferred, lorenz, tmp_path):
    """Interrupted between two generations."""
    _, alone, _ = inferred
    stacked = compose(lorenz, tmp_path, "population.program=stacked", "resources.checkpoint_s=0")
    said = []

    def say(line):
        said.append(line)
        if line.startswith("generation 2/3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_dynamics(stacked, say=say)
    left = run_dynamics(stacked, say=said.append)
    assert any(line.startswith("Going on at generation") for line in said)
    for generation in (1, 2, 3):
        mine, its = (Lineage(one.folder).generation(generation) for one in (left, alone))
        for member in (1, 2, 3):
            assert mine[member].parent == its[member].parent
            assert mine[member].values == its[member].values
            assert mine[member].score == pytest.approx(its[member].score, rel=1e-4)
    ours, theirs = (
        np.concatenate(list(read_inferred(one.files["lorenz_10hz"], "rates")))
        for one in (left, alone)
    )
    np.testing.assert_allclose(ours, theirs, rtol=0.01, atol=1e-3)


def test_same_command_finds_it_done(inferred, lorenz):
    home, left, _ = inferred
    before = left.files["lorenz_10hz"].read_bytes()
    said = []
    again = run_dynamics(compose(lorenz, home), say=said.append)
    assert said == []
    assert (again.best.member, again.best.score) == (left.best.member, left.best.score)
    assert again.best.values == left.best.values
    assert again.files["lorenz_10hz"].read_bytes() == before


def test_mlflow_has_one_run_of_the_population(inferred):
    home, left, said = inferred
    assert said[-1].startswith("Inferring rates")  # and nothing of an MLflow that lags behind
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("calsweep-lfads/small")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["population.size"] == "3"
    history = client.get_metric_history(run.info.run_id, "best_loss")
    assert [metric.step for metric in history] == [1, 2, 3]
    assert history[-1].value == left.best.score
    (rates,) = client.list_artifacts(run.info.run_id, "rates")
    assert rates.path == "rates/lorenz_10hz.parquet"
    assert rates.file_size == left.files["lorenz_10hz"].stat().st_size


def test_rates_that_are_gone_are_inferred_again_alike(inferred, lorenz):
    home, left, _ = inferred
    before = list(read_inferred(left.files["lorenz_10hz"], "rates"))
    left.files["lorenz_10hz"].unlink()
    run_dynamics(compose(lorenz, home), say=lambda _: None)
    assert np.array_equal(before, list(read_inferred(left.files["lorenz_10hz"], "rates")))


def test_member_is_replayed_to_the_same_bits(inferred, calsweep):
    home, left, _ = inferred
    code, out, err = calsweep("replay", "small", left.best.member, "--home", home)
    assert code == 0, out + err
    assert out.count("(the same)") == 3
    assert "every loss, weight and state of the optimizer is the same" in out


def test_population_that_is_over_is_resumed_and_stopped_to_no_effect(inferred, calsweep):
    home, left, _ = inferred
    before = (left.folder / "lineage.jsonl").read_bytes()
    code, out, err = calsweep("resume", "small", "--home", home)
    assert code == 0, err
    assert "lorenz_10hz: rates, factors and inferred inputs in" in out
    code, _, err = calsweep("stop", "small", "--home", home)
    assert code == 2
    assert "is over already: 3 generations are done" in err
    assert (left.folder / "lineage.jsonl").read_bytes() == before


def test_name_of_other_settings_is_refused(inferred, lorenz):
    home, _, _ = inferred
    with pytest.raises(FileExistsError, match=r"other settings \(seed\)"):
        run_dynamics(compose(lorenz, home, "seed=1"))


def test_rates_are_scored_beside_smoothed_events(inferred):
    home, _, _ = inferred
    asked = Asked(lag_ms=30, smooth_ms=6)
    (score,) = score_rates(read_dynamics(home, "small"), asked)
    assert score.recording == "lorenz_10hz"
    assert set(score.states) == {INFERRED, SMOOTHED}
    smoothed = score.states[SMOOTHED]
    assert smoothed.r2_FD.shape == (5, 3)
    assert smoothed.by_dimension[0] > 0.1  # of 66 neurons, smoothed events tell x somewhat
    assert np.isnan(smoothed.predicted_BTD[:, -3:]).all()  # 30 ms are three bins
    assert score.correlations[INFERRED].shape == (66,)
    assert {name: paths.mean_CTD.shape for name, paths in score.paths.items()} == {
        INFERRED: (3, 90, 3),
        SMOOTHED: (3, 90, 3),
    }
    assert score.coherences[INFERRED].frequency_Q.max() == pytest.approx(48.6, abs=0.1)
    assert [(one.what, one.over, one.n) for one in score.better[:1]] == [
        ("tell the state", "folds of trials", 5)
    ]
    of_neurons = score.better[1]
    assert (of_neurons.what, of_neurons.over) == ("go with the mean of other trials", "neurons")
    r_N = np.stack([score.correlations[name] for name in (INFERRED, SMOOTHED)])
    finite_N = np.isfinite(r_N).all(axis=0)
    assert of_neurons.n == finite_N.sum() > 10
    assert of_neurons.test == paired_t(*r_N[:, finite_N])


def test_from_the_shell(calsweep, lorenz, inferred):
    home, left, _ = inferred
    code, out, _ = calsweep("lfads", f"datasets.address={lorenz}", f"home={home}", *SMALL)
    assert code == 0
    assert f"Best: member {left.best.member} of generation 3, validation loss" in out
    code, out, _ = calsweep("rates", "small", "--home", home, "--lag-ms", 30, "--smooth-ms", 6)
    assert code == 0
    assert "R² of z (folds)" in out
    assert "one-sided p =" in out
    page = (left.folder / "rates.html").read_text()
    for name in ("states", "coherence", "means", "paths-inferred", "paths-smoothed"):
        assert f'id="lorenz_10hz-{name}"' in page
    code, _, err = calsweep("rates", "other", "--home", home)
    assert code == 2
    assert "left nothing of the name 'other'. There are: small." in err


def test_population_that_is_stopped_ends_with_its_generation(calsweep, lorenz, tmp_path, inferred):
    home, _, _ = inferred
    code, _, err = calsweep("stop", "small", "--home", home)
    assert code == 2
    assert "the population of 'small' is over already: 3 generations are done." in err
    said = []

    def say(line):
        said.append(line)
        if line.startswith("generation 1/"):
            stop = [sys.executable, "-m", "calsweep.platform", "stop", "small", "--home", tmp_path]
            stopped = subprocess.run(stop, capture_output=True, text=True, timeout=120, check=True)
            assert stopped.stdout == "small ends with generation 1.\n"

    left = run_dynamics(compose(lorenz, tmp_path, "population.generations=30"), say=say)
    assert left.best.generation == 1
    assert "The population is over: stopped by hand." in said
    assert left.files["lorenz_10hz"].exists()


def test_files_stay_in_their_folder_whatever_a_recording_is_called(lorenz, tmp_path):
    settings = compose(lorenz, tmp_path)
    for name in ("../../other", "/etc/x", "..", "m1 d1"):
        assert settings.file_of(name).resolve().parent == settings.folder
    assert settings.file_of("lorenz_10hz").name == "lorenz_10hz.parquet"


def test_rates_of_fewer_neurons_are_scored_by_their_number(inferred, lorenz, calsweep):
    home, _, _ = inferred
    few = ("datasets/masks=random_units", "name=half", "population.size=2")
    left = run_dynamics(compose(lorenz, home, *few, "population.generations=2"), say=lambda _: None)
    rates = np.concatenate(list(read_inferred(left.files["lorenz_10hz"], "rates")))
    assert rates.shape == (15, 90, 33)
    code, out, err = calsweep("rates", "half", "small", "--home", home)
    assert code == 0, err
    assert [line.partition(":")[0] for line in out.splitlines()[:2]] == ["66", "33"]
    page = (left.folder / "neurons.html").read_text()
    assert all(text in page for text in ("neurons seen", "What rates tell of z"))
    code, _, err = calsweep("rates", "half", "half", "small", "small", "--home", home)
    assert code == 0, err  # named twice is named once


def second_day(folder, *, name):
    """The conditions of `lorenz` on another day, seen by 30 other neurons."""
    simulator = Lorenz(speed_hz=10, n_conditions=3, trials_per_condition=5, n_neurons=30, seed=5)
    (recording,) = simulator.recordings()
    write_dataset([replace(recording, name=name)], folder=folder)
    return f"datasets.beside=[{folder}]"


def test_days_with_other_neurons_share_a_generator(calsweep, lorenz, tmp_path):
    beside = second_day(tmp_path / "day2", name="day2")
    more = (beside, "trainables.n_aligned=6", "population.size=2", "population.generations=2")
    settings = compose(lorenz, tmp_path, *more)
    left = run_dynamics(settings, say=lambda _: None)
    shapes = {
        name: np.concatenate(list(read_inferred(file, "rates"))).shape
        for name, file in left.files.items()
    }
    assert shapes == {"lorenz_10hz": (15, 90, 66), "day2": (15, 90, 30)}
    assert read_dynamics(tmp_path, "small").datasets == settings.datasets
    code, out, err = calsweep("replay", "small", left.best.member, "--home", tmp_path)
    assert code == 0, err
    assert "every loss, weight and state of the optimizer is the same" in out
    code, out, err = calsweep("rates", "small", "--home", tmp_path)
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines() if "inferred  " in line] == [*shapes]


def test_days_of_one_name_or_without_read_ins_are_refused(lorenz, tmp_path):
    beside = second_day(tmp_path / "day2", name="day2")
    with pytest.raises(ValueError, match="whose dimensions `n_aligned` must give"):
        run_dynamics(compose(lorenz, tmp_path, beside))
    beside = second_day(tmp_path / "again", name="lorenz_10hz")
    with pytest.raises(ValueError, match="must differ in their names, but two of the datasets"):
        run_dynamics(compose(lorenz, tmp_path, beside, "trainables.n_aligned=6"))


def test_rates_of_a_gaussian_are_scored_without_paths(calsweep, lorenz, tmp_path):
    """They may be negative, and have no logarithm."""
    more = ["trainables=gaussian", "population.generations=2", "population.generation=1"]
    left = run_dynamics(compose(lorenz, tmp_path, *more), say=lambda _: None)
    rates = np.concatenate(list(read_inferred(left.files["lorenz_10hz"], "rates")))
    assert (rates < 0).any()
    (score,) = score_rates(read_dynamics(tmp_path, "small"), Asked(subgroup="condition"))
    assert list(score.paths) == [SMOOTHED]
    assert np.isnan(score.ratios[INFERRED]).all()  # a condition is its own only subgroup
    code, out, err = calsweep("rates", "small", "--home", tmp_path)
    assert code == 0, err
    assert "r with means of other trials" in out


def test_autolfads_counts_whole_frames(tmp_path):
    simulator = Lorenz(
        speed_hz=10, n_conditions=2, trials_per_condition=5, n_neurons=30, form=Form.FRAMES
    )
    write_dataset(simulator.recordings(), folder=tmp_path / "frames")
    settings = compose(tmp_path / "frames", tmp_path, "trainables=lfads")
    (view,) = settings.views(datasets_of(settings))
    assert set(np.unique(view.activity_RTN)) <= {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    assert view.rate_hz == pytest.approx(100 / 3)


def test_frames_are_divided_by_when_units_are_sampled(tmp_path):
    simulator = Lorenz(
        speed_hz=10, n_conditions=2, trials_per_condition=5, n_neurons=66, form=Form.FRAMES
    )
    write_dataset(simulator.recordings(), folder=tmp_path / "frames")
    settings = compose(tmp_path / "frames", tmp_path, "datasets.bins_per_frame=3")
    (view,) = settings.views(datasets_of(settings))
    assert view.rate_hz == pytest.approx(100)
    sampled = np.isfinite(view.activity_RTN).mean()
    assert sampled == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+search_spaces.training.batch_size={low: 8.0, high: 64.0}", "`training.batch_size` "
         "cannot change while a model of dynamics trains"),
        ("datasets.measures=[paw]", "there is no behavior 'paw'"),
        ("datasets.bins_per_frame=3", "does not say when in a frame each unit is sampled"),
        ("datasets.recordings=[none]", "there is no recording 'none'"),
        ("trainables.observation.s_min=0.5", "events must be 0 or at least `s_min` = 0.5"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_begins(lorenz, tmp_path, override, message):
    with pytest.raises(ValueError, match=message):
        run_dynamics(compose(lorenz, tmp_path, override, "name=refused"))
    assert not (tmp_path / "dynamics/refused/sweep.json").exists()


def test_misspelt_variant_is_told():
    with pytest.raises(ValueError, match=r"`trainables/lfads=radcal` is not known. .*radical"):
        compose_dynamics(["datasets.address=m1", "trainables=radcal"])
