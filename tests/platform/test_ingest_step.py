"""`calsweep ingest --dff --deconvolve --bins`: what is done to recordings, and said of it."""

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.calcium import Kernel
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.store import FolderStore


@pytest.fixture
def fluorescence(tmp_path):
    """Two units at 10 Hz, spikes every 5 s, 100 counts of baseline, 50 a spike."""
    (tmp_path / "raw").mkdir()
    spikes_TN = np.zeros((600, 2))
    spikes_TN[25::50, 0] = spikes_TN[40::50, 1] = 1.0
    counts_TN = 100 + 50 * Kernel(decay_s=0.5).calcium(spikes_TN, rate_hz=10.0)
    for name in ("m1_a.npz", "m1_b.npz"):
        np.savez(tmp_path / "raw" / name, traces=counts_TN, rate_hz=10.0, run=np.arange(600) % 2)
    return spikes_TN


def test_fluorescence_becomes_events(calsweep, tmp_path, fluorescence):
    code, _, err = calsweep(
        "ingest", "npz", "raw", "m", "--dff", "percentile", "--dff-window-s", "20",
        "--dff-percentile", "5", "--deconvolve", "--decay-s", "0.5", "--s-min", "0.2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    dataset = open_dataset(FolderStore(tmp_path / "m"), cache=Cache(tmp_path / "cache"))
    assert [entry.steps for entry in dataset.manifest.recordings] == [
        (
            "dF/F over a running 5th percentile of 20 s",
            "deconvolved by OASIS, AR(1), decay 0.5 s, events of 0.2 or more, trial by trial: it "
            "uses later frames (not causal)",
        )
    ] * 2  # fmt: skip
    events_TN = dataset.activity_TN[:600]
    assert np.array_equal(events_TN > 0, fluorescence > 0)
    assert np.allclose(events_TN[fluorescence > 0], 0.5, atol=0.05)


def test_steps_come_before_another_rate(calsweep, tmp_path, fluorescence):
    code, _, _ = calsweep("ingest", "npz", "raw", "m", "--dff", "mean", "--resample-hz", "5")
    assert code == 0
    dataset = open_dataset(FolderStore(tmp_path / "m"), cache=Cache(tmp_path / "cache"))
    assert dataset.manifest.recordings[0].steps == (
        "dF/F over a running mean of 60 s",
        "resampled from 10 Hz to 5 Hz",
    )


def test_labels_are_made_of_behaviors_at_the_rate_of_the_file(calsweep, tmp_path, fluorescence):
    (tmp_path / "raw" / "m1_b.npz").unlink()
    counts_TN, place = 100 + np.zeros((600, 2)), np.repeat(np.arange(1, 7), 100)
    np.savez(tmp_path / "raw" / "m1_a.npz", traces=counts_TN, rate_hz=10.0, place=place)
    code, _, err = calsweep(
        "ingest", "npz", "raw", "m", "--bins", "half=place:4", "--bins", "third=place:3,5",
        "--resample-hz", "5",
    )  # fmt: skip
    assert (code, err) == (0, "")
    dataset = open_dataset(FolderStore(tmp_path / "m"), cache=Cache(tmp_path / "cache"))
    assert dataset.behavior["half"].tolist() == [0] * 150 + [1] * 150
    assert dataset.behavior["third"].tolist() == [0] * 100 + [1] * 100 + [2] * 100
    assert dataset.manifest.recordings[0].steps == (
        "half is place cut at 4, frame by frame",
        "third is place cut at 3, 5, frame by frame",
        "resampled from 10 Hz to 5 Hz",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--s-min", "0.1"), "`--s-min` is an option of `--deconvolve`, which is not given"),
        (("--dff-window-s", "9"), "`--dff-window-s` is an option of `--dff`, which is not given"),
        (("--dff", "mean", "--dff-window-s", "0"), "`window_s > 0`"),
        (("--deconvolve", "--s-min", "-1"), "`s_min >= 0` must hold"),
        (("--bins", "half"), "`--bins LABEL=BEHAVIOR:EDGE,EDGE` is the form"),
        (("--bins", "half=place:4"), "m1_a: there is no behavior 'place' to make `half` of"),
    ],
)
def test_options_that_make_no_sense_are_told(calsweep, tmp_path, fluorescence, options, message):
    code, _, err = calsweep("ingest", "npz", "raw", "m", *options)
    assert code == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
