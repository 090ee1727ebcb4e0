"""What LFADS infers, in a file, some trials at a time."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from calsweep.datasets.lorenz import Lorenz
from calsweep.datasets.trial_view import view_trials
from calsweep.platform.dynamics.inferred import read_inferred, write_inferred, write_samples
from calsweep.platform.dynamics.lfads_learner import LfadsLearner, LfadsTraining
from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import ZeroInflatedGamma

N_TRIALS, N_BINS, N_NEURONS, N_FACTORS = 8, 90, 66, 7


@pytest.fixture(scope="module")
def learner():
    simulation = Lorenz(n_conditions=2, trials_per_condition=4, n_neurons=N_NEURONS)
    [recording] = simulation.recordings()
    config = Lfads(n_factors=N_FACTORS, n_generator=9, observation=ZeroInflatedGamma())
    views = [view_trials(recording, condition="condition")]
    return LfadsLearner(config, training=LfadsTraining(), views=views, seed=0)


def whole(path, values):
    return np.concatenate(list(read_inferred(path, values)))


def test_file_holds_every_trial(learner, tmp_path):
    place = tmp_path / "out" / "lorenz.parquet"
    assert write_inferred(learner, place, recording="lorenz_7hz", n_samples=2) == N_TRIALS
    assert whole(place, "rates").shape == (N_TRIALS, N_BINS, N_NEURONS)
    assert whole(place, "factors").shape == (N_TRIALS, N_BINS, N_FACTORS)
    assert whole(place, "inputs").shape == (N_TRIALS, N_BINS, 2)
    table = pq.read_table(place, columns=["trial", "bin"])
    assert table["trial"].to_pylist() == np.repeat(range(N_TRIALS), N_BINS).tolist()
    assert table["bin"].to_pylist() == [*range(N_BINS)] * N_TRIALS
    about = pq.read_schema(place).metadata
    assert json.loads(about[b"units"]) == list(learner.views[0].units)
    assert float(about[b"rate_hz"]) == 100.0


def test_values_are_those_that_the_model_gives(learner, tmp_path):
    place = tmp_path / "lorenz.parquet"
    write_inferred(learner, place, recording="lorenz_7hz", n_samples=0, trials_at_once=3)
    activity = torch.from_numpy(learner.views[0].activity_RTN).transpose(0, 1)
    with torch.no_grad():
        expected = learner.module.eval()(activity)
    for values, tensor in (
        ("rates", expected.rates_TBN),
        ("factors", expected.factors_TBF),
        ("inputs", expected.inputs_TBU),
    ):
        np.testing.assert_allclose(
            whole(place, values), tensor.transpose(0, 1), rtol=1e-4, atol=1e-6
        )


def test_samples_are_averaged(learner):
    trials = np.arange(3)
    at_means = learner.infer(0, trials, n_samples=0).factors_TBF
    one, few, many = (learner.infer(0, trials, n_samples=n).factors_TBF for n in (1, 4, 64))
    assert torch.equal(one, learner.infer(0, trials, n_samples=1).factors_TBF)
    errors = [(x - at_means).square().mean().item() for x in (one, few, many)]
    assert errors[0] > errors[1] > errors[2]


def test_no_more_trials_than_asked_for_are_in_memory(learner, tmp_path, monkeypatch):
    asked, infer = [], learner.infer
    monkeypatch.setattr(
        learner, "infer", lambda i, trials, **k: asked.append(len(trials)) or infer(i, trials, **k)
    )
    place = tmp_path / "lorenz.parquet"
    write_inferred(learner, place, recording="lorenz_7hz", n_samples=1, trials_at_once=3)
    assert asked == [3, 3, 2]
    assert [len(part) for part in read_inferred(place, "rates")] == [3, 3, 2]
    assert pq.ParquetFile(place).num_row_groups == 3


def test_file_that_is_there_is_left_as_it_is(learner, tmp_path):
    place = tmp_path / "there.parquet"
    place.write_text("mine")
    with pytest.raises(FileExistsError, match="is there already"):
        write_inferred(learner, place, recording="lorenz_7hz")
    assert place.read_text() == "mine"


def test_recording_that_is_not_there_is_refused(learner, tmp_path):
    with pytest.raises(ValueError, match="no recording 'other'. There are: lorenz_7hz"):
        write_inferred(learner, tmp_path / "x.parquet", recording="other")


def test_what_fails_on_the_way_leaves_nothing(learner, tmp_path, monkeypatch):
    infer = learner.infer

    def fail_at_the_second(i, trials_B, *, n_samples):
        if trials_B[0] > 0:
            raise MemoryError
        return infer(i, trials_B, n_samples=n_samples)

    monkeypatch.setattr(learner, "infer", fail_at_the_second)
    with pytest.raises(MemoryError):
        write_inferred(
            learner, tmp_path / "x.parquet", recording="lorenz_7hz", n_samples=1, trials_at_once=3
        )
    assert [*tmp_path.iterdir()] == []


def test_samples_are_written_one_by_one_and_their_mean_is_what_is_inferred(learner, tmp_path):
    means, samples = tmp_path / "means.parquet", tmp_path / "samples.parquet"
    asked = {"recording": "lorenz_7hz", "n_samples": 4, "trials_at_once": 3}
    write_inferred(learner, means, **asked)
    assert write_samples(learner, samples, **asked) == N_TRIALS
    with pq.ParquetFile(samples) as file:  # of 3, 3 and 2 trials, each of one sample
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [3 * N_BINS] * 8 + [2 * N_BINS] * 4
    table = pq.read_table(samples, columns=["trial", "sample", "bin"])
    assert table["sample"].to_numpy()[:: 3 * N_BINS][:8].tolist() == [0, 1, 2, 3] * 2
    assert set(zip(*(table[c].to_pylist() for c in ("trial", "sample")), strict=True)) == {
        (trial, sample) for trial in range(N_TRIALS) for sample in range(4)
    }
    for values in ("rates", "factors", "inputs"):
        pieces = list(read_inferred(samples, values))
        of_trials = [np.stack(pieces[i : i + 4]) for i in (0, 4, 8)]
        together = np.concatenate([part.mean(axis=0) for part in of_trials])
        np.testing.assert_allclose(together, whole(means, values), rtol=1e-4, atol=1e-6)
        assert of_trials[0].std(axis=0).max() > 0


def test_one_sample_is_in_memory_at_a_time(learner, tmp_path, monkeypatch):
    """A sample is drawn when the one before is written."""
    seen, draw = [], learner.module.forward

    def forward(*args, **kwargs):
        seen.append(sum(path.stat().st_size for path in tmp_path.glob(".*.partial")))
        return draw(*args, **kwargs)

    monkeypatch.setattr(learner.module, "forward", forward)
    write_samples(learner, tmp_path / "s.parquet", recording="lorenz_7hz", n_samples=3)
    assert len(seen) == 3
    assert seen[0] < seen[1] < seen[2]


def test_no_sample_is_refused(learner, tmp_path):
    with pytest.raises(ValueError, match="`n_samples >= 1` must hold"):
        write_samples(learner, tmp_path / "s.parquet", recording="lorenz_7hz", n_samples=0)
