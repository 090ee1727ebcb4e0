"""Simulated images of the cortex of running and resting mice, with regions planted in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Images, Recording
from calsweep.datasets.simulation import N_REGIONS, Simulation
from calsweep.datasets.truth import Simulator, Truth

# T time, N region, H height, W width, P point on the cortex, D dimension (down, right)

OUTSIDE = 0
"""In a map of regions: a pixel that shows none."""

_ATLAS_SEED = 25  # regions have one place in all mice and all simulations
_HALF_LENGTH, _HALF_WIDTH = 0.92, 0.86  # of the cortex, in half images
_MIDLINE = 0.03


@dataclass(frozen=True, kw_only=True)
class WidefieldImages:
    """Images of the regions of a `Simulation`, as a camera above the skull would see them.

    Each hemisphere is half an ellipse with 25 regions, 1 to 25 left and 26 to 50 right, numbered
    from front to back. A pixel's brightness rises and falls with the dF/F of its region. Mice
    differ in how the head is turned and shifted, how the light falls on it (tilt), and in their
    vessels; each pixel has shot noise. The recordings keep the regions' dF/F as units, and its
    behaviors.

    Images are made when they are read, each from a seed of its own: the same frame is the same
    whichever frames are read with it.

    The truth is, of each recording, what the simulation of regions says, ``region_HW`` (the region
    of each pixel, 0 none), ``weight_HW`` (how much of the behavior it carries) and
    ``brightness_HW`` (its mean counts).

    Attributes
    ----------
    mice
        What they do, and their regions.
    height, width
        In pixels.
    counts
        Of a pixel in the light's middle, from 0 to 65,535; shot noise is their square root times
        `noise`.
    noise
        How much more than that of light alone.

    Raises
    ------
    ValueError
        If images are smaller than 16 x 16, or counts or noise are out of range.

    Examples
    --------
    >>> recording = next(WidefieldImages(mice=Simulation(n_frames=60)).recordings())
    >>> recording.images.shape, recording.images.dtype.name, recording.activity_TN.shape
    ((60, 128, 128), 'uint16', (60, 50))
    """

    mice: Simulation = field(default_factory=lambda: Simulation(n_frames=1000))
    height: int = 128
    width: int = 128
    counts: float = 20000.0
    noise: float = 1.5

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16:
            raise ValueError(
                "`height >= 16` and `width >= 16` must hold, or regions have no pixels, "
                f"but got {self.height} x {self.width}."
            )
        if not (1 <= self.counts <= 40000 and self.noise >= 0):
            raise ValueError(
                "`1 <= counts <= 40000` (light and activity come on top, and pixels hold 65,535) "
                f"and `noise >= 0` must hold, but got {self.counts=} and {self.noise=}."
            )

    def recordings(self) -> Iterator[Recording]:
        """Give each recording in turn, mouse by mouse."""
        for recording, scene, number in self._scenes():
            images: Images = _Stack(
                scene=scene,
                dff_TN=recording.activity_TN,
                noise=self.noise,
                entropy=(self.mice.seed, scene.mouse, number),
            )
            yield dataclasses.replace(recording, images=images)

    def truth(self) -> Truth:
        """Give where the regions are in each mouse, and what they carry."""
        regions = self.mice.truth().recordings
        recordings = {}
        for recording, scene, _ in self._scenes():
            weight_N = np.concatenate([[0.0], regions[recording.name]["weight_N"]])
            recordings[recording.name] = {
                **regions[recording.name],
                "region_HW": scene.region_HW,
                "weight_HW": weight_N[scene.region_HW],
                "brightness_HW": scene.brightness_HW,
            }
        return Truth(simulator=repr(self), recordings=recordings)

    def _scenes(self) -> Iterator[tuple[Recording, _Scene, int]]:
        for index, recording in enumerate(self.mice.recordings()):
            mouse, number = divmod(index, self.mice.recordings_per_mouse)
            scene = self._scene(self.mice.first_mouse + mouse)
            yield recording, scene, number + 1

    def _scene(self, mouse: int) -> _Scene:
        # Recordings are numbered from 1: 0 is the mouse's own.
        rng = np.random.default_rng([self.mice.seed, mouse, 0, 1])
        down_HW, right_HW = np.meshgrid(
            np.linspace(-1, 1, self.height), np.linspace(-1, 1, self.width), indexing="ij"
        )
        angle, shift_D = rng.uniform(-0.1, 0.1), rng.uniform(-0.05, 0.05, 2)
        turned_down_HW = np.cos(angle) * down_HW - np.sin(angle) * right_HW + shift_D[0]
        turned_right_HW = np.sin(angle) * down_HW + np.cos(angle) * right_HW + shift_D[1]
        region_HW = _regions(turned_down_HW, turned_right_HW)
        tilt_D = rng.uniform(-0.3, 0.3, 2)
        light_HW = 1 + tilt_D[0] * down_HW + tilt_D[1] * right_HW
        skull_HW = np.where(region_HW == OUTSIDE, 0.3, 1.0)
        vessels_HW = _vessels(turned_down_HW, turned_right_HW, rng=rng)
        brightness_HW = self.counts * light_HW * skull_HW * vessels_HW
        return _Scene(
            mouse=mouse, region_HW=region_HW, brightness_HW=brightness_HW.astype(np.float32)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """What a camera sees of a mouse that does nothing."""

    mouse: int
    region_HW: NDArray[np.int64]
    brightness_HW: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stack:
    """Images made when they are read."""

    scene: _Scene
    dff_TN: NDArray[np.float32]
    noise: float
    entropy: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(time, height, width)``."""
        return (len(self.dff_TN), *self.scene.region_HW.shape)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a pixel."""
        return np.dtype(np.uint16)

    def __getitem__(self, frames: slice, /) -> NDArray[np.generic]:
        """Make the images of some frames."""
        chosen = range(len(self.dff_TN))[frames]
        images_THW = np.empty((len(chosen), *self.scene.region_HW.shape), dtype=np.uint16)
        for i, frame in enumerate(chosen):
            images_THW[i] = self._image(frame)
        return images_THW

    def _image(self, frame: int) -> NDArray[np.float32]:
        dff_N = np.concatenate([np.zeros(1, dtype=np.float32), self.dff_TN[frame]])
        light_HW = self.scene.brightness_HW * (1 + dff_N[self.scene.region_HW])
        # A seed of its own, and not a place in a stream: frames are read in any order.
        rng = np.random.default_rng([*self.entropy, 1 + frame])
        shot_HW = rng.standard_normal(light_HW.shape, dtype=np.float32)
        noisy_HW = light_HW + self.noise * np.sqrt(np.maximum(light_HW, 0)) * shot_HW
        image: NDArray[np.float32] = np.clip(np.rint(noisy_HW), 0, 65535)
        return image


def _regions(down_HW: NDArray[np.float64], right_HW: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the region of each place, 1 to 25 left and 26 to 50 right of the midline."""
    centre_ND = _centres()
    place_HWD = np.stack([down_HW, np.abs(right_HW)], axis=-1)
    distance_HWN = ((place_HWD[:, :, None, :] - centre_ND) ** 2).sum(axis=-1)
    region_HW = 1 + distance_HWN.argmin(axis=-1) + np.where(right_HW > 0, N_REGIONS // 2, 0)
    return np.where(_on_cortex(place_HWD), region_HW, OUTSIDE)


def _on_cortex(place_D: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which places are on a hemisphere; the last axis is how far down and from the midline."""
    down, aside = place_D[..., 0], place_D[..., 1]
    inside: NDArray[np.bool_] = (down / _HALF_LENGTH) ** 2 + (aside / _HALF_WIDTH) ** 2 < 1
    return inside & (aside > _MIDLINE)


def _centres() -> NDArray[np.float64]:
    """Give the centres of the regions of one hemisphere, of like size, from front to back."""
    rng = np.random.default_rng(_ATLAS_SEED)
    point_PD = rng.uniform([-1, 0], [1, 1], (4000, 2))
    point_PD = point_PD[_on_cortex(point_PD)]
    centre_ND = point_PD[: N_REGIONS // 2]
    for _ in range(50):  # Lloyd's algorithm: each centre to the middle of its points
        nearest_P = ((point_PD[:, None, :] - centre_ND) ** 2).sum(axis=-1).argmin(axis=1)
        centre_ND = np.stack([point_PD[nearest_P == n].mean(axis=0) for n in range(len(centre_ND))])
    return centre_ND[np.argsort(centre_ND[:, 0])]


def _vessels(
    down_HW: NDArray[np.float64], right_HW: NDArray[np.float64], *, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give how much light passes: eight dark, winding vessels and the sinus between."""
    passes_HW = 1 - 0.5 * np.exp(-((right_HW / _MIDLINE) ** 2))
    for _ in range(8):
        start, slope = rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.6)
        swing, waves, phase = rng.uniform(0.02, 0.1), rng.uniform(1, 3), rng.uniform(0, 2 * np.pi)
        side, width, depth = rng.choice([-1, 1]), rng.uniform(0.01, 0.03), rng.uniform(0.2, 0.5)
        aside_HW = side * right_HW
        course_HW = start + slope * aside_HW + swing * np.sin(waves * np.pi * aside_HW + phase)
        dark_HW = np.exp(-(((down_HW - course_HW) / width) ** 2))
        passes_HW *= 1 - np.where(aside_HW > 0, depth * dark_HW, 0.0)
    return passes_HW


_: type[Simulator] = WidefieldImages
