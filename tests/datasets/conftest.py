"""Datasets as they are divided: labels and trials written out, or drawn."""

import numpy as np
import pytest

from calsweep.datasets.manifest import Manifest, RecordingEntry, ShardEntry, Span
from calsweep.datasets.timeline import Timeline


def make_timeline(recordings, *, units=("region1",), positions=None):
    """Make a timeline of recordings: subject, name, labels, and perhaps trials."""
    entries, labels, trials = [], {}, {}
    for subject, name, label_T, *trial_T in recordings:
        labels[name] = np.asarray(label_T, dtype=np.int64)
        n_frames = len(labels[name])
        trials[name] = np.asarray(trial_T[0] if trial_T else np.zeros(n_frames), dtype=np.int32)
        borders = np.flatnonzero(np.diff(trials[name], prepend=-1, append=-1))
        classes, counts = np.unique(labels[name], return_counts=True)
        entries.append(
            RecordingEntry(
                subject=subject,
                name=name,
                n_frames=n_frames,
                n_trials=len(borders) - 1,
                longest_trial_frames=int(np.diff(borders).max()),
                label_counts={"run": dict(zip(classes.tolist(), counts.tolist(), strict=True))},
                positions=positions or (),
                position_unit="um" if positions else "",
            )
        )
    spans = tuple(Span(recording=e.name, start_frame=0, n_frames=e.n_frames) for e in entries)
    n_rows = sum(span.n_frames for span in spans)
    shard = ShardEntry(file="a.parquet", sha256="0" * 64, n_bytes=1, n_rows=n_rows, spans=spans)
    manifest = Manifest(
        rate_hz=30.0,
        units=units,
        behaviors={"run": ""},
        recordings=tuple(entries),
        shards=(shard,),
    )
    return Timeline(manifest=manifest, target="run", labels=labels, trials=trials)


@pytest.fixture(scope="session")
def timeline_of():
    return make_timeline
