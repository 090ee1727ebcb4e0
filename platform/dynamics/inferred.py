"""What LFADS makes of a dataset's trials, written as Parquet some trials at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch import Tensor

from calsweep.datasets.cache import beside
from calsweep.platform.dynamics.lfads_learner import LfadsLearner
from calsweep.platform.object_storage.address import local_path
from calsweep.trainables.lfads.model import Inference

# R trial, T bin, B trials at once, X values in a bin

VALUES = ("rates", "factors", "inputs")

_Pieces = Iterable[tuple[NDArray[np.int64], dict[str, int], Inference]]


def write_inferred(
    learner: LfadsLearner,
    out: Path,
    /,
    *,
    recording: str,
    n_samples: int = 50,
    trials_at_once: int = 64,
) -> int:
    """Write rates, factors and inferred inputs of all trials of a recording.

    A row is a bin of a trial: ``trial``, ``bin`` and lists ``rates`` (one a neuron), ``factors``
    and ``inputs``, each the mean over samples of posteriors. No more trials than `trials_at_once`
    are in memory. Units and bins per second stand in the file's metadata.

    Parameters
    ----------
    learner
        What infers.
    out
        The file.
    recording
        Its name.
    n_samples
        Samples of posteriors; 0 takes their means.
    trials_at_once
        Trials in a row group.

    Returns
    -------
    n_trials
        How many were written.

    Raises
    ------
    FileExistsError
        If the file is there already.
    ValueError
        If there is no such recording.
    StorageRefused
        If the place is not on this machine.
    """
    pieces: _Pieces = (
        (trials_B, {}, learner.infer(i, trials_B, n_samples=n_samples))
        for i, trials_B in _trials_of(learner, recording, trials_at_once)
    )
    return _write(learner, out, pieces, recording=recording)


def write_samples(
    learner: LfadsLearner,
    out: Path,
    /,
    *,
    recording: str,
    n_samples: int = 50,
    trials_at_once: int = 64,
) -> int:
    """Write what is inferred of all trials of a recording from each sample of their posteriors.

    A row is a bin of a trial in one ``sample``, and the rest as in `write_inferred`, whose values
    are the means of these. A row group holds one sample of some trials, and no more is in memory.
    Parameters, result and errors are those of `write_inferred`; there must be a sample.
    """
    if n_samples < 1:
        raise ValueError(f"`n_samples >= 1` must hold, but got {n_samples=}.")
    pieces = (
        (trials_B, {"sample": number}, sample)
        for i, trials_B in _trials_of(learner, recording, trials_at_once)
        for number, sample in enumerate(learner.samples(i, trials_B, n_samples=n_samples))
    )
    return _write(learner, out, pieces, recording=recording)


def _trials_of(
    learner: LfadsLearner, recording: str, at_once: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Give a recording's number with its trials, some at a time."""
    i = _number_of(learner, recording)
    n_trials = len(learner.views[i].activity_RTN)
    for start in range(0, n_trials, at_once):
        yield i, np.arange(start, min(start + at_once, n_trials))


def _number_of(learner: LfadsLearner, recording: str) -> int:
    names = [view.recording for view in learner.views]
    if recording not in names:
        raise ValueError(f"there is no recording {recording!r}. There are: {', '.join(names)}.")
    return names.index(recording)


def _write(
    learner: LfadsLearner,
    out: Path,
    pieces: _Pieces,
    *,
    recording: str,
) -> int:
    """Write pieces as they come: their trials, further columns, and what was inferred."""
    place = local_path(out)
    if place.exists():
        raise FileExistsError(f"{out} is there already and is left as it is: name another file.")
    view = learner.views[_number_of(learner, recording)]
    place.parent.mkdir(parents=True, exist_ok=True)
    about = {"units": json.dumps(view.units), "rate_hz": str(view.rate_hz), "recording": recording}
    with beside(place) as partial, contextlib.ExitStack() as stack:
        file: pq.ParquetWriter | None = None
        for trials_B, more, inferred in pieces:
            values = (inferred.rates_TBN, inferred.factors_TBF, inferred.inputs_TBU)
            table = _table(trials_B, more, dict(zip(VALUES, values, strict=True)))
            table = table.replace_schema_metadata(about)
            if file is None:  # sizes are known only now
                file = stack.enter_context(_writer(partial, table.schema))
            file.write_table(table, row_group_size=table.num_rows)
    return len(view.activity_RTN)


def read_inferred(path: Path, values: str, /) -> Iterator[NDArray[np.float32]]:
    """Read ``rates``, ``factors`` or ``inputs``, shape ``(trial, bin, value)``, some trials a time.

    Of a file of samples, one sample of some trials a time.

    Examples
    --------
    >>> import inspect
    >>> inspect.isgeneratorfunction(read_inferred)
    True
    """
    if values not in VALUES:
        raise ValueError(f"there are no {values!r}. There are: {', '.join(VALUES)}.")
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["trial", values])
            n_trials = len(np.unique(table["trial"].to_numpy()))
            flat = pc.list_flatten(table[values]).to_numpy()
            yield flat.reshape(n_trials, table.num_rows // n_trials, -1)


def _writer(place: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(place, schema, compression="zstd", write_page_checksum=True)


def _table(
    trials_B: NDArray[np.int64], more: dict[str, int], values: dict[str, Tensor]
) -> pa.Table:
    n_bins = len(next(iter(values.values())))
    columns = {
        "trial": pa.array(np.repeat(trials_B, n_bins), pa.int32()),
        **{
            name: pa.array(np.full(n_bins * len(trials_B), value), pa.int32())
            for name, value in more.items()
        },
        "bin": pa.array(np.tile(np.arange(n_bins), len(trials_B)), pa.int32()),
    }
    lists = {name: _lists(values_TBX) for name, values_TBX in values.items()}
    return pa.table({**columns, **lists})


def _lists(values_TBX: Tensor) -> pa.Array[Any]:
    flat = values_TBX.transpose(0, 1).reshape(-1).cpu().numpy()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), values_TBX.shape[2])
