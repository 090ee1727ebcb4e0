"""Experiments of R as files: what each compares, and one of them from the shell, made small."""

import json

import pytest

from calsweep.platform.config import (
    DYNAMICS_EXPERIMENTS,
    compose_dynamics,
    experiment_of,
    variants,
)
from calsweep.platform.dynamics.experiment import (
    Experiment,
    Finding,
    order_of_methods,
    read_findings,
    run_experiment,
)
from calsweep.platform.dynamics.inferred import write_inferred
from calsweep.platform.dynamics.settings import datasets_of
from calsweep.platform.dynamics.sweep import learners_of

SMALL = (
    "trainables.n_generator=8", "trainables.n_factors=4", "trainables.n_controller=4",
    "trainables.n_initial_encoder=4", "trainables.n_input_encoder=4", "trainables.n_initial=4",
    "population.size=2", "population.generation=1", "population.generations=2", "n_samples=2",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "along", "n_values", "methods"),
    [
        ("lorenz_speeds", "peak frequency of Z (Hz)", 6, ["RADICaL", "AutoLFADS"]),
        ("lorenz_frame_rates", "frames per second", 4, ["RADICaL", "AutoLFADS"]),
        ("lorenz_noise", "noise (share of a neuron's largest value)", 4, ["RADICaL", "AutoLFADS"]),
        ("lorenz_neurons", "neurons", 6, ["RADICaL", "AutoLFADS"]),
        ("lorenz_unique_trials", "conditions of 480 trials", 2, ["RADICaL", "AutoLFADS"]),
        (
            "lorenz_ablation",
            "peak frequency of Z (Hz)",
            2,
            ["RADICaL", "without the gamma", "without finer bins", "AutoLFADS"],
        ),
    ],
)
def test_experiment_is_that_of_the_paper(name, along, n_values, methods):
    command = experiment_of([f"+experiment={name}"])
    assert command.experiment.along == along
    assert len(command.experiment.values) == n_values
    assert list(command.experiment.methods) == methods


def test_every_file_is_an_experiment():
    names = variants(DYNAMICS_EXPERIMENTS)
    assert len(names) == 6
    for name in names:
        assert isinstance(experiment_of([f"+experiment={name}"]).experiment, Experiment)


def test_values_and_simulation_are_told_apart_from_overrides():
    given = ["seed=2", "+experiment=lorenz_speeds", "values=[10]", "simulation.noise=0.2"]
    command = experiment_of(given)
    assert (command.only, command.simulation) == (("10",), {"noise": 0.2})
    assert command.overrides == ("seed=2",)
    assert experiment_of(["seed=2"]) is None
    with pytest.raises(ValueError, match=r"dynamics=lorenz_speed` is not known\. .*lorenz_speeds"):
        experiment_of(["+experiment=lorenz_speed"])


@pytest.mark.parametrize("name", variants(DYNAMICS_EXPERIMENTS))
def test_every_experiment_runs_small(name, tmp_path):
    """Its last value: one member of each method, after one epoch in this process."""

    def run(overrides):
        settings = compose_dynamics([*overrides, *SMALL, f"home={tmp_path}"])
        (dataset,) = datasets_of(settings)
        learners = learners_of(settings, hashes=[dataset.manifest.content_hash])
        model = learners.model(seed=0)
        model.train(1)
        (recording,) = dataset.spans
        file = settings.file_of(recording)
        write_inferred(model, file, recording=recording, n_samples=0)
        return settings

    experiment = experiment_of([f"+experiment={name}"]).experiment
    *_, last = experiment.values
    few = {} if name == "lorenz_neurons" else {"n_neurons": 40}
    findings = run_experiment(
        experiment,
        name=name,
        folder=tmp_path / "experiments",
        run=run,
        only=[last],
        simulation={"n_conditions": 10, "trials_per_condition": 1, **few},
        say=lambda _: None,
    )
    methods = ["smoothing", "smoothed fluorescence", *experiment.methods]
    assert [(one.value, one.method) for one in findings] == [(last, name) for name in methods]
    assert all(len(one.r2["z"]) == 5 for one in findings)
    assert read_findings(tmp_path / "experiments/findings.json") == (experiment.along, findings)


def test_methods_are_put_in_order_and_tested():
    r2 = {"RADICaL": (0.9, 0.8, 0.85), "smoothing": (0.2, 0.1, 0.3), "AutoLFADS": (0.7, 0.7, 0.6)}
    findings = [
        Finding(value="10", method=name, lag_ms=20, r2={"z": values}) for name, values in r2.items()
    ]
    assert order_of_methods(findings) == [
        "10: RADICaL 0.850 above AutoLFADS 0.667, paired t over folds, one-sided p = 0.027",
        "10: AutoLFADS 0.667 above smoothing 0.200, paired t over folds, one-sided p = 0.017",
    ]


def test_small_experiment_from_the_shell(calsweep, local_ray, tmp_path):
    command = [
        "lfads", "+experiment=lorenz_speeds", "values=[10]", "simulation.n_conditions=2",
        "simulation.trials_per_condition=5", "simulation.n_neurons=66", f"home={tmp_path}", *SMALL,
    ]  # fmt: skip
    code, out, err = calsweep(*command)
    assert code == 0, err
    assert "peak frequency of Z (Hz) 10, RADICaL" in out
    assert "  smoothing: R² of z " in out
    assert out.count("paired t over folds, one-sided p =") == 3
    findings = json.loads((tmp_path / "experiments/lorenz_speeds/findings.json").read_text())
    assert [one["method"] for one in findings["findings"]] == [
        "smoothing",
        "smoothed fluorescence",
        "RADICaL",
        "AutoLFADS",
    ]
    assert all(len(one["r2"]["z"]) == 5 for one in findings["findings"])
    code, again, _ = calsweep(*command)
    assert code == 0
    assert "generation" not in again  # what is there is not trained again
    code, out, _ = calsweep("rates", "lorenz_speeds", "--home", tmp_path)
    assert code == 0
    page = (tmp_path / "experiments/lorenz_speeds/rates.html").read_text()
    assert 'id="r2-z"' in page
    code, _, err = calsweep(*command[:2], "values=[11]", f"home={tmp_path}", *SMALL)
    assert code == 2
    assert "'11' is no value of the experiment. There are: 4, 7, 10, 13, 15, 20." in err
    code, _, err = calsweep(*command[:2], "simulation.n_neuron=9", f"home={tmp_path}", *SMALL)
    assert code == 2
    assert "`simulation.n_neuron` is no setting. Did you mean `n_neurons`?" in err
