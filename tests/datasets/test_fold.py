import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from calsweep.datasets.fold import HeldOut, animal_folds, check_target, n_classes
from calsweep.datasets.manifest import Manifest, RecordingEntry, ShardEntry, Span
from calsweep.datasets.npz import NpzSource
from calsweep.datasets.resample import resample
from calsweep.datasets.shard_writer import write_dataset

REAL = os.environ.get("CALSWEEP_REAL_DATA", "")


def manifest(counts, *, behaviors=("run",)):
    """Make a manifest of recordings: subject, name, frames of class 0, of class 1."""
    entries = tuple(
        RecordingEntry(
            subject=subject,
            name=name,
            n_frames=zeros + ones,
            n_trials=1,
            longest_trial_frames=zeros + ones,
            label_counts={"run": {k: n for k, n in ((0, zeros), (1, ones)) if n}},
        )
        for subject, name, zeros, ones in counts
    )
    spans = tuple(Span(recording=e.name, start_frame=0, n_frames=e.n_frames) for e in entries)
    n_rows = sum(span.n_frames for span in spans)
    shard = ShardEntry(file="a.parquet", sha256="0" * 64, n_bytes=1, n_rows=n_rows, spans=spans)
    return Manifest(
        rate_hz=30.0,
        units=("region1",),
        behaviors=dict.fromkeys(behaviors, ""),
        recordings=entries,
        shards=(shard,),
    )


FIVE = [(f"m{i}", f"m{i}_d{d}", 50 + i, 50) for i in range(1, 6) for d in (1, 2)]


def names(stretches):
    return tuple(stretch.recording for stretch in stretches)


def test_five_mice_give_every_ordered_pair():
    plan = animal_folds(manifest(FIVE), target="run")
    assert plan.groups == (("m1",), ("m2",), ("m3",), ("m4",), ("m5",))
    pairs = [(fold.test_group, fold.validation_group) for fold in plan.folds]
    assert pairs == list(itertools.permutations(range(5), 2))
    assert [fold.index for fold in plan.folds] == list(range(20))
    assert plan.holds_out is HeldOut.ANIMALS


def test_every_animal_is_where_it_belongs():
    for fold in animal_folds(manifest(FIVE), target="run").folds:
        test, validation = f"m{fold.test_group + 1}", f"m{fold.validation_group + 1}"
        assert names(fold.test) == (f"{test}_d1", f"{test}_d2")
        assert names(fold.validation) == (f"{validation}_d1", f"{validation}_d2")
        others = [f"m{i}" for i in range(1, 6) if f"m{i}" not in (test, validation)]
        assert names(fold.train) == tuple(f"{m}_d{d}" for m in others for d in (1, 2))
        n_frames = {f"m{i}_d{d}": 100 + i for i in range(1, 6) for d in (1, 2)}
        for stretch in (*fold.train, *fold.validation, *fold.test):
            assert (stretch.start_frame, stretch.stop_frame) == (0, n_frames[stretch.recording])


def test_no_animal_is_on_two_sides():
    rng = np.random.default_rng(0)
    counts = [(f"m{i // 2}", f"r{i}", *rng.integers(10, 99, 2).tolist()) for i in range(26)]
    plan = animal_folds(manifest(counts), target="run", k=4)
    subject_of = {name: subject for subject, name, *_ in counts}
    assert sorted(s for group in plan.groups for s in group) == sorted(set(subject_of.values()))
    for fold in plan.folds:
        parts = [
            {subject_of[stretch.recording] for stretch in part}
            for part in (fold.train, fold.validation, fold.test)
        ]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert len(fold.train) + len(fold.validation) + len(fold.test) == 26


def test_plan_is_the_same_every_time():
    plan = animal_folds(manifest(FIVE), target="run")
    assert plan == animal_folds(manifest(FIVE), target="run")
    assert plan.content_hash == "e54d083b9b0a4aa8572169c170eaa0f5c2f8eca1ab41b8621abdc96e5898c7d1"
    assert plan.content_hash != animal_folds(manifest(FIVE), target="run", k=4).content_hash


def test_groups_are_balanced_in_frames_and_labels():
    rng = np.random.default_rng(1)
    counts = [(f"m{i:02}", f"r{i}", *rng.integers(1000, 9000, 2).tolist()) for i in range(19)]
    plan = animal_folds(manifest(counts), target="run")
    of = {subject: np.array(n) for subject, _, *n in counts}
    sums = np.array([sum(of[s] for s in group) for group in plan.groups])
    assert (np.abs(sums / sums.mean(axis=0) - 1) < 0.1).all()
    assert {len(group) for group in plan.groups} <= {3, 4}


@pytest.mark.parametrize(
    ("counts", "k", "message"),
    [
        (FIVE[:6], 5, r"at least 5 animals, but the dataset has 3 \(m1, m2, m3\).*k_groups=3"),
        (FIVE, 2, "k_groups >= 3"),
        ([*FIVE[:8], ("m5", "m5_d1", 80, 0)], 5, r"the group \(m5\) is 0 in all 80 frames"),
        ([(s, n, 0, 10) for s, n, *_ in FIVE], 5, "'run' is 1 in all 100 frames"),
    ],
)
def test_refuses_what_gives_no_folds(counts, k, message):
    with pytest.raises(ValueError, match=message):
        animal_folds(manifest(counts), target="run", k=k)


def test_target_must_be_a_label_of_two_classes():
    there = manifest(FIVE, behaviors=("run", "speed"))
    with pytest.raises(ValueError, match=r"got 'walk'. There are: run, speed; labels .*: run"):
        check_target(there, target="walk")
    with pytest.raises(ValueError, match="'speed' is a measure"):
        check_target(there, target="speed")
    check_target(there, target="run")


def manifest_of_counts(**counts):
    entry = RecordingEntry(
        subject="m1", name="r", n_frames=3, n_trials=1, longest_trial_frames=3,
        label_counts=counts,
    )  # fmt: skip
    plain = manifest([("m1", "r", 1, 2)])
    return Manifest(**{**vars(plain), "recordings": (entry,)})


@pytest.mark.parametrize("counts", [{1: 1, 2: 1, 4: 1}, {-2: 3, 0: 1, 1: 5}, {0: 1, 2: 8}])
def test_classes_must_be_numbered_from_0(counts):
    some = ", ".join(map(str, sorted(counts)))
    with pytest.raises(ValueError, match=f"numbered from 0, but 'run' has {some}"):
        check_target(manifest_of_counts(run=counts), target="run")


@pytest.mark.parametrize("counts", [{-1: 4, 1: 5}, {0: 9}])
def test_one_class_is_refused_and_missing_labels_are_none(counts):
    with pytest.raises(ValueError, match=f"two classes or more, but 'run' is {max(counts)} in all"):
        check_target(manifest_of_counts(run=counts), target="run")


@pytest.mark.parametrize(
    ("counts", "n"), [({0: 4, 1: 5}, 2), ({-1: 1, 0: 3, 1: 3, 2: 2}, 3), ({0: 1, 1: 1, 2: 7}, 3)]
)
def test_classes_are_counted_without_what_is_not_known(counts, n):
    there = manifest_of_counts(run=counts)
    check_target(there, target="run")
    assert n_classes(there, target="run") == n


@pytest.mark.skipif(not REAL, reason="CALSWEEP_REAL_DATA does not name the folder of recordings")
def test_nineteen_flies_in_five_balanced_groups(tmp_path):
    source = NpzSource(order_units_by="roi_neuron_type")
    files = source.files(Path(REAL) / "fly_heading_walking")
    flies = (resample(source.read(file), rate_hz=10.0) for file in files)
    there = write_dataset(flies, folder=tmp_path / "flies")
    plan = animal_folds(there, target="moving")
    assert len(there.subjects) == 19
    assert there.units[:2] == ("EPG1", "EPG2")
    assert there.units[16:18] == ("PEN1_1", "PEN1_2")
    assert there.n_frames == 175471
    assert len(plan.folds) == 20
    assert sorted(len(group) for group in plan.groups) == [3, 4, 4, 4, 4]
    for group in plan.groups:
        mine = [entry for entry in there.recordings if entry.subject in group]
        n_frames = sum(entry.n_frames for entry in mine)
        assert 34000 < n_frames < 36500
        share = sum(entry.label_counts["moving"][1] for entry in mine) / n_frames
        assert 0.71 < share < 0.73
