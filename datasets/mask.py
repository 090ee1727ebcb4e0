"""Which inputs a decoder does not see: units, or a square of each image, set to zero.

Units are set to zero after scaling, as the decoder sees them, in training and in every prediction
of the model. A mask is chosen before training, by name, number, place or seed: nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.fold import PartName
from calsweep.datasets.manifest import ImageFormat, Manifest
from calsweep.datasets.split import Scaling

# N units, H height, W width

ALL = "all"
NOT = "not "


def _regions(*ranges: tuple[int, int]) -> tuple[str, ...]:
    return tuple(f"region{i}" for first, last in ranges for i in range(first, last + 1))


WIDEFIELD_GROUPS: Mapping[str, tuple[str, ...]] = {
    "FLa&HLa": ("region6", "region8", "region31", "region33"),
    "M2&M1": _regions((1, 4), (26, 29)),
    "FL&HL": _regions((6, 9), (31, 34)),
    "PT&RS": _regions((14, 17), (39, 42)),
    "V1&Vm": _regions((18, 21), (43, 46)),
    "Vl&A1": _regions((22, 25), (47, 50)),
}
"""Groups of the 50 regions of W, left 1 to 25 and right 26 to 50, for units named so.

Its text once gives PT&RS as 49 to 52 on the right; its figure, and the other groups, say 39 to 42.
"""


@runtime_checkable
class Mask(Protocol):
    """Typed settings that say which units a decoder sees."""

    @property
    def label(self) -> str:
        """What is seen, in a few words for tables; empty if all is."""
        ...

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it was chosen on; none if it was chosen without data."""
        ...

    def seen(self, manifest: Manifest, /) -> NDArray[np.bool_]:
        """Give whether the decoder sees each unit, shape ``(unit,)``.

        Raises
        ------
        ValueError
            If the dataset does not have what the mask names, or no unit would be left.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class UnitMask:
    """Units by name, by number or by group.

    Attributes
    ----------
    keep
        What the decoder sees, all else is zero: ``"all"``, or one or several of a group's name, a
        unit's name, a unit's number (from 0, in the order of the dataset), each with ``"not "``
        before it for its complement.
    groups
        Name of a group to its units, by name or number, beside those of W (`WIDEFIELD_GROUPS`).

    Examples
    --------
    >>> UnitMask(keep="not FLa&HLa").label
    'all but FLa&HLa'
    >>> UnitMask(keep=("left", 7), groups={"left": ("a", "b")}).label
    'only left + 7'
    """

    keep: str | int | tuple[str | int, ...] = ALL
    groups: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.keep == ():
            raise ValueError("`keep` must name at least one unit or group, but names none.")

    @property
    def label(self) -> str:
        """What is seen, in a few words for tables; empty if all is."""
        if self.keep == ALL:
            return ""
        names = self.keep if isinstance(self.keep, tuple) else (self.keep,)
        together = " + ".join(map(str, names))
        is_complement = len(names) == 1 and together.startswith(NOT)
        return f"all but {together.removeprefix(NOT)}" if is_complement else f"only {together}"

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it was chosen on: none."""
        return ()

    def seen(self, manifest: Manifest, /) -> NDArray[np.bool_]:
        """Give whether the decoder sees each unit, shape ``(unit,)``."""
        names = self.keep if isinstance(self.keep, tuple) else (self.keep,)
        found = [self._named(name, units=manifest.units) for name in names]
        return _checked(np.any(found, axis=0), label=self.label)

    def _named(self, name: str | int, *, units: tuple[str, ...]) -> NDArray[np.bool_]:
        groups = {**WIDEFIELD_GROUPS, **self.groups}
        if name == ALL:
            return np.ones(len(units), dtype=bool)
        if isinstance(name, str) and name in groups:
            found = [_unit(member, units=units, group=name) for member in groups[name]]
            return np.any(found, axis=0) if found else np.zeros(len(units), dtype=bool)
        if isinstance(name, str) and name not in units and name.startswith(NOT):
            return ~self._named(name.removeprefix(NOT), units=units)
        return _unit(name, units=units, group="", groups=tuple(groups))


@dataclass(frozen=True, kw_only=True)
class RandomUnits:
    """Units drawn at random, all others zero, as R drops neurons.

    Attributes
    ----------
    share, n_units
        How many are seen: a share of all (rounded, at least one), or a number. One of the two.
    seed
        Of the draw. With one seed, fewer units are among the more.
    """

    share: float | None = None
    n_units: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count(self.share, self.n_units)
        if self.seed < 0:
            raise ValueError(f"`seed >= 0` must hold, but got {self.seed=}.")

    @property
    def label(self) -> str:
        """What is seen, in a few words for tables."""
        return f"only {_how_many(self.share, self.n_units)} units at random (seed {self.seed})"

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it was chosen on: none."""
        return ()

    def seen(self, manifest: Manifest, /) -> NDArray[np.bool_]:
        """Give whether the decoder sees each unit, shape ``(unit,)``."""
        order = np.random.default_rng(self.seed).permutation(len(manifest.units))
        return _first(order, share=self.share, n_units=self.n_units)


@dataclass(frozen=True, kw_only=True)
class CentralUnits:
    """Units nearest to the centre of the field of view, all others zero, as R shrinks it.

    The centre is the middle between the outermost units; where recordings give other places, the
    distance to it is averaged over them.

    Attributes
    ----------
    share, n_units
        How many are seen, as for `RandomUnits`.
    """

    share: float | None = None
    n_units: int | None = None

    def __post_init__(self) -> None:
        _check_count(self.share, self.n_units)

    @property
    def label(self) -> str:
        """What is seen, in a few words for tables."""
        return f"only {_how_many(self.share, self.n_units)} units nearest to the centre"

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it was chosen on: none."""
        return ()

    def seen(self, manifest: Manifest, /) -> NDArray[np.bool_]:
        """Give whether the decoder sees each unit, shape ``(unit,)``."""
        placed = [np.array(e.positions) for e in manifest.recordings if e.positions]
        if not placed:
            raise ValueError(
                "units near the centre need the place of each unit, but no recording of the "
                "dataset has places. Ingest them, or draw units with RandomUnits."
            )
        distances = [
            np.linalg.norm(xy - (xy.min(axis=0) + xy.max(axis=0)) / 2, axis=1) for xy in placed
        ]
        order = np.argsort(np.mean(distances, axis=0), kind="stable")
        return _first(order, share=self.share, n_units=self.n_units)


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """One square of each image, zero before training, as W finds where behavior shows.

    Squares begin every ``stride_px`` pixels, row by row, and wrap round the edges: 64 compartments
    of images of 128 x 128 pixels.

    Attributes
    ----------
    compartment
        Number of the square, from 0: its row first, then its column; ``None`` cuts nothing out.
    size_px, stride_px
        Its side, and from one square to the next.

    Examples
    --------
    >>> mask = CutOut(compartment=7)
    >>> masked_HW = mask.masked(ImageFormat(height=128, width=128, dtype="uint8"))
    >>> int(masked_HW.sum()), bool(masked_HW[0, 0]), bool(masked_HW[0, 112]), bool(masked_HW[0, 16])
    (1024, True, True, False)
    """

    compartment: int | None = None
    size_px: int = 32
    stride_px: int = 16

    def __post_init__(self) -> None:
        if (self.compartment or 0) < 0 or not 1 <= self.stride_px <= self.size_px:
            raise ValueError(
                "`compartment >= 0` and `1 <= stride_px <= size_px` must hold, but got "
                f"{self.compartment=}, {self.stride_px=}, {self.size_px=}."
            )

    @property
    def label(self) -> str:
        """What is seen, in a few words for tables."""
        return "" if self.compartment is None else f"all but compartment {self.compartment}"

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it was chosen on: none."""
        return ()

    def seen(self, manifest: Manifest, /) -> NDArray[np.bool_]:  # noqa: ARG002
        """Refuse: units have no pixels."""
        raise ValueError(
            "a compartment is cut out of images, but traces of units are decoded here. Mask units "
            "with `datasets.mask.keep`."
        )

    def n_compartments(self, images: ImageFormat, /) -> int:
        """Count the compartments of an image."""
        self._check(images)
        return (images.height // self.stride_px) * (images.width // self.stride_px)

    def masked(self, images: ImageFormat, /) -> NDArray[np.bool_]:
        """Give whether each pixel is set to zero, shape ``(height, width)``.

        Raises
        ------
        ValueError
            If images are smaller than the square, no multiple of the stride, or have fewer
            compartments.
        """
        masked_HW = np.zeros((images.height, images.width), dtype=bool)
        if self.compartment is None:
            return masked_HW
        n = self.n_compartments(images)
        if self.compartment >= n:
            raise ValueError(
                f"`compartment < {n}` must hold for images of {images.height} x {images.width} "
                f"pixels, but got {self.compartment=}."
            )
        row, column = divmod(self.compartment, images.width // self.stride_px)
        rows = (row * self.stride_px + np.arange(self.size_px)) % images.height
        columns = (column * self.stride_px + np.arange(self.size_px)) % images.width
        masked_HW[np.ix_(rows, columns)] = True
        return masked_HW

    def _check(self, images: ImageFormat) -> None:
        sides = (images.height, images.width)
        if min(sides) <= self.size_px or any(side % self.stride_px for side in sides):
            raise ValueError(
                f"images must be larger than the square ({self.size_px} pixels) and a multiple of "
                f"`stride_px` ({self.stride_px}), but are {images.height} x {images.width} pixels."
            )


def seen_pixels(mask: Mask, images: ImageFormat, /) -> NDArray[np.bool_]:
    """Give whether a decoder of images sees each pixel, shape ``(height, width)``.

    Raises
    ------
    ValueError
        If the mask is of units, or does not suit the images.
    """
    if isinstance(mask, CutOut):
        return ~mask.masked(images)
    if mask != UnitMask():
        raise ValueError(
            f"a mask of images cuts squares out, but {mask.label!r} names units: take "
            "`datasets/masks=cut_out`, or decode traces."
        )
    return np.ones((images.height, images.width), dtype=bool)


def mask_scaling(scaling: Scaling, /, *, seen_N: NDArray[np.bool_]) -> Scaling:
    """Give a scaling after which masked units are zero in every frame.

    Parameters
    ----------
    scaling
        As fitted; what it holds of masked units is forgotten.
    seen_N
        Whether a decoder sees each unit.

    Examples
    --------
    >>> scaling = Scaling(offset_N=np.array([1.0, 2.0]), scale_N=np.array([3.0, 4.0]))
    >>> mask_scaling(scaling, seen_N=np.array([True, False])).scale_N.tolist()
    [3.0, 0.0]
    """
    return Scaling(
        offset_N=np.where(seen_N, scaling.offset_N, 0).astype(scaling.offset_N.dtype),
        scale_N=np.where(seen_N, scaling.scale_N, 0).astype(scaling.scale_N.dtype),
    )


def _unit(
    name: str | int, *, units: tuple[str, ...], group: str, groups: tuple[str, ...] = ()
) -> NDArray[np.bool_]:
    number = name if isinstance(name, int) else units.index(name) if name in units else -1
    if not 0 <= number < len(units):
        some = ", ".join(units[:5]) + (", ..." if len(units) > 5 else "")
        of = f" of the group {group!r}" if group else ""
        known = f" Groups: {', '.join(groups)}." if groups else ""
        raise ValueError(
            f"a mask must name units of the dataset, but {name!r}{of} is none of its {len(units)} "
            f"({some}).{known} Name units, their numbers, or groups of your own "
            "(`datasets.mask.groups`)."
        )
    is_unit_N = np.zeros(len(units), dtype=bool)
    is_unit_N[number] = True
    return is_unit_N


def _checked(seen_N: NDArray[np.bool_], *, label: str) -> NDArray[np.bool_]:
    if not seen_N.any():
        raise ValueError(f"a mask must leave a unit to be seen, but {label!r} leaves none.")
    return seen_N


def _check_count(share: float | None, n_units: int | None) -> None:
    if (share is None) == (n_units is None):
        raise ValueError(
            f"one of `share` and `n_units` must be given, but got {share=}, {n_units=}."
        )
    if (share is not None and not 0 < share <= 1) or (n_units is not None and n_units < 1):
        raise ValueError(
            f"`0 < share <= 1` or `n_units >= 1` must hold, but got {share=}, {n_units=}."
        )


def _how_many(share: float | None, n_units: int | None) -> str:
    return f"{share:.4g} of all" if share is not None else str(n_units)


def _first(
    order: NDArray[np.integer], *, share: float | None, n_units: int | None
) -> NDArray[np.bool_]:
    n_kept = max(1, round(share * len(order))) if share is not None else int(n_units or 0)
    if n_kept > len(order):
        raise ValueError(
            f"`n_units <= {len(order)}` must hold, as the dataset has no more, but got {n_units=}."
        )
    seen_N = np.zeros(len(order), dtype=bool)
    seen_N[order[:n_kept]] = True
    return seen_N
