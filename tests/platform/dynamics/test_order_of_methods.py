"""What LFADS is for: dynamics too fast for smoothing; and what finer bins and the gamma add."""

import json
from statistics import fmean

import pytest

from calsweep.platform.dynamics.experiment import read_findings
from calsweep.platform.statistics import paired_t

SIMULATION = (
    "values=[10]", "simulation.n_conditions=4", "simulation.trials_per_condition=60",
    "simulation.n_neurons=140", "simulation.noise=0.08",
)  # fmt: skip
MODEL = (
    "trainables.n_generator=64", "trainables.n_factors=32", "trainables.n_controller=32",
    "trainables.n_initial_encoder=32", "trainables.n_input_encoder=32", "trainables.n_initial=32",
    "training.batch_size=16", "training.ramp_epochs=10", "n_samples=8",
)  # fmt: skip
POPULATION = (
    "population.size=2", "population.generation=20", "population.generations=6",
    "search_spaces.training.regularization.dropout.high=0.2",
    "search_spaces.training.regularization.kl_initial.low=2e-5",
    "search_spaces.training.regularization.kl_initial.high=1e-4",
    "search_spaces.training.regularization.kl_inputs.low=2e-5",
)  # fmt: skip


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_radical_is_above_autolfads_and_that_above_smoothing(calsweep, local_ray, tmp_path):
    """R, Fig. 2C at 10 Hz, made small: about ten minutes on two cores."""
    code, out, err = calsweep(
        "lfads", "+experiment=lorenz_speeds", *SIMULATION, *MODEL, *POPULATION, f"home={tmp_path}"
    )
    assert code == 0, err
    _, findings = read_findings(tmp_path / "experiments/lorenz_speeds/findings.json")
    z = {one.method: one.r2["z"] for one in findings}
    print(json.dumps({method: round(fmean(values), 3) for method, values in z.items()}))
    assert fmean(z["RADICaL"]) > fmean(z["AutoLFADS"]) > fmean(z["smoothing"]), out
    assert paired_t(z["RADICaL"], z["AutoLFADS"]).p < 0.05
    assert paired_t(z["AutoLFADS"], z["smoothing"]).p < 0.05
