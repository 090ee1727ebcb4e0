"""Where the read-ins of several recordings begin: principal-component regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from calsweep.trainables.lfads.model import LfadsModule
from calsweep.trainables.lfads.observation import Gaussian, Poisson
from calsweep.trainables.lfads.readout import Readout

# C condition, T bin, N neuron, A aligned dimension


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """From the neurons of one recording to dimensions that all share.

    Attributes
    ----------
    weight_AN
        Of the activity, less its mean.
    mean_N
        Of each neuron.
    """

    weight_AN: NDArray[np.float64]
    mean_N: NDArray[np.float64]


def align(averages: Sequence[NDArray[np.floating]], /, *, n_aligned: int) -> tuple[Alignment, ...]:
    """Regress the principal components of all recordings on those of each.

    Parameters
    ----------
    averages
        Of each recording the mean activity of trials of each condition, shape ``(condition, bin,
        neuron)``, finite; conditions and bins are those of all.
    n_aligned
        Components.

    Returns
    -------
    alignments
        One a recording.

    Raises
    ------
    ValueError
        If conditions or bins differ, or a recording has fewer neurons than there are components.

    References
    ----------
    Pandarinath et al. (2018), *Nat. Methods* 15: 805-815.
    """
    shapes = {average.shape[:2] for average in averages}
    if len(shapes) != 1:
        raise ValueError(f"recordings must share conditions and bins, but have {sorted(shapes)}.")
    fewest = min(average.shape[2] for average in averages)
    n_samples = int(np.prod(next(iter(shapes))))
    if not 1 <= n_aligned <= min(fewest, n_samples):
        raise ValueError(
            f"`n_aligned` must be 1 to {min(fewest, n_samples)}, the neurons of the smallest "
            f"recording and bins of averages, but got {n_aligned}."
        )
    flat = [np.asarray(average, dtype=np.float64).reshape(n_samples, -1) for average in averages]
    means = [average.mean(axis=0) for average in flat]
    centered = [average - mean for average, mean in zip(flat, means, strict=True)]
    shared_SA = _components(np.concatenate(centered, axis=1), n_aligned)[0]
    return tuple(
        Alignment(weight_AN=_regressed(activity, shared_SA), mean_N=mean)
        for activity, mean in zip(centered, means, strict=True)
    )


def begin_aligned(module: LfadsModule, alignments: Sequence[Alignment], /) -> None:
    """Set read-ins, in place, and readouts where their shapes and link allow it.

    A readout begins at the pseudoinverse of the read-in where there are as many factors as aligned
    dimensions, at the mean of each neuron, or its logarithm if the output is Poisson.
    """
    for read_in, readout, alignment in zip(
        module.read_ins, module.readouts, alignments, strict=True
    ):
        assert isinstance(read_in, nn.Linear)  # noqa: S101 - there are several recordings
        assert isinstance(readout, Readout)  # noqa: S101 - the constructor made it
        weight = torch.from_numpy(alignment.weight_AN)
        with torch.no_grad():
            read_in.weight.copy_(weight)
            read_in.bias.copy_(-weight @ torch.from_numpy(alignment.mean_N))
            _begin_readout(readout, alignment, observation=module.config.observation)


_LEAST_MEAN = 1e-4


def _begin_readout(readout: Readout, alignment: Alignment, *, observation: object) -> None:
    n_neurons = len(alignment.mean_N)
    is_alike = readout.linear.in_features == len(alignment.weight_AN)
    if not is_alike or not isinstance(observation, (Poisson, Gaussian)):
        return
    mean_N = alignment.mean_N
    if isinstance(observation, Poisson):
        mean_N = np.log(np.maximum(mean_N, _LEAST_MEAN))
    readout.linear.weight[:n_neurons] = torch.from_numpy(
        np.linalg.pinv(alignment.weight_AN)
    ).float()
    readout.linear.bias[:n_neurons] = torch.from_numpy(mean_N).float()


def _components(
    centered_SN: NDArray[np.float64], n_components: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give scores and axes of the first principal components."""
    u, s, axes = np.linalg.svd(centered_SN, full_matrices=False)
    # A component's sign is arbitrary: its largest weight is positive.
    largest = np.abs(axes[:n_components]).argmax(axis=1)
    signs = np.sign(axes[np.arange(n_components), largest])
    return (u * s)[:, :n_components] * signs, axes[:n_components] * signs[:, None]


def _regressed(
    centered_SN: NDArray[np.float64], shared_SA: NDArray[np.float64]
) -> NDArray[np.float64]:
    scores_SA, axes_AN = _components(centered_SN, shared_SA.shape[1])
    slopes_AA = np.linalg.lstsq(scores_SA, shared_SA, rcond=None)[0]
    weight_AN: NDArray[np.float64] = slopes_AA.T @ axes_AN
    return weight_AN
