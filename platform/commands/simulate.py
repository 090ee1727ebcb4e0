"""``calsweep simulate``: recordings made from a seed become a dataset, their truth beside it."""

from __future__ import annotations

from collections.abc import Callable

import click

from calsweep.datasets.footsteps import Footsteps
from calsweep.datasets.lorenz import EVENTS, SPEED_UP, Form, Lorenz
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.truth import TRUTH_FILE, Simulator
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.platform.ingestion import simulate as write_simulated


@click.group()
def simulate() -> None:
    """Make recordings from a seed and write a dataset TO a folder or s3:// address.

    What is known of them (weights, spikes, latents) stands beside it in truth.npz.
    """


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every simulator takes."""
    for decorate in reversed(_COMMON):
        command = decorate(command)
    return command


_COMMON = (
    click.argument("address", metavar="TO"),
    click.option("--seed", default=0, show_default=True, help="Of everything."),
    click.option(
        "--replace",
        is_flag=True,
        help="Replace a dataset that is there already (nothing else ever is).",
    ),
)


@simulate.command("widefield-regions")
@_common
@click.option("--mice", default=Simulation.n_mice, show_default=True, help="How many.")
@click.option("--recordings", default=1, show_default=True, help="Of each mouse.")
@click.option("--frames", default=Simulation.n_frames, show_default=True, help="Of a recording.")
def widefield_regions(
    address: str, seed: int, replace: bool, mice: int, recordings: int, frames: int
) -> None:
    """50 regions of the cortex of running and resting mice."""
    simulator = Simulation(n_mice=mice, recordings_per_mouse=recordings, n_frames=frames, seed=seed)
    _write(simulator, address, replace=replace)


@simulate.command("widefield-images")
@_common
@click.option("--mice", default=Simulation.n_mice, show_default=True, help="How many.")
@click.option("--recordings", default=1, show_default=True, help="Of each mouse.")
@click.option("--frames", default=1000, show_default=True, help="Of a recording.")
@click.option("--pixels", default=128, show_default=True, help="Height and width of an image.")
def widefield_images(
    address: str, seed: int, replace: bool, mice: int, recordings: int, frames: int, pixels: int
) -> None:
    """Images of the same mice, with vessels, tilt and noise, beside the regions' traces."""
    simulation = Simulation(
        n_mice=mice, recordings_per_mouse=recordings, n_frames=frames, seed=seed
    )
    simulator = WidefieldImages(mice=simulation, height=pixels, width=pixels)
    _write(simulator, address, replace=replace)


@simulate.command()
@_common
@click.option("--mice", default=Footsteps.n_mice, show_default=True, help="How many.")
@click.option("--recordings", default=2, show_default=True, help="Of each mouse.")
@click.option("--frames", default=Footsteps.n_frames, show_default=True, help="Of a recording.")
@click.option("--neurons", default=Footsteps.n_neurons, show_default=True, help="Of each mouse.")
def footsteps(
    address: str,
    seed: int,
    replace: bool,
    mice: int,
    recordings: int,
    frames: int,
    neurons: int,
) -> None:
    """Neurons of one motor cortex while mice walk on a grid: steps of either forelimb, or none."""
    simulator = Footsteps(
        n_mice=mice,
        recordings_per_mouse=recordings,
        n_frames=frames,
        n_neurons=neurons,
        seed=seed,
    )
    _write(simulator, address, replace=replace)


@simulate.command()
@_common
@click.option(
    "--speed-hz",
    type=click.Choice([str(speed) for speed in SPEED_UP]),
    default=str(Lorenz.speed_hz),
    show_default=True,
    help="Peak frequency of the third dimension.",
)
@click.option("--conditions", default=Lorenz.n_conditions, show_default=True, help="How many.")
@click.option("--trials", default=60, show_default=True, help="Of each condition.")
@click.option("--neurons", default=Lorenz.n_neurons, show_default=True, help="How many.")
@click.option(
    "--noise",
    default=Lorenz.noise,
    show_default=True,
    help="Of fluorescence, as a share of a neuron's largest value.",
)
@click.option(
    "--bins-per-frame",
    default=Lorenz.bins_per_frame,
    show_default=True,
    help="Bins of 10 ms in an imaging frame: 10 for 10 frames/s.",
)
@click.option(
    "--form",
    type=click.Choice([form.value for form in Form]),
    default=Form.BINS.value,
    show_default=True,
    help="Bins of 10 ms, empty where a neuron is not sampled, or imaging frames.",
)
@click.option("--fluorescence", is_flag=True, help="Leave fluorescence as it is: no events.")
def lorenz(
    address: str,
    seed: int,
    replace: bool,
    speed_hz: str,
    conditions: int,
    trials: int,
    neurons: int,
    noise: float,
    bins_per_frame: int,
    form: str,
    fluorescence: bool,
) -> None:
    """Two-photon imaging of neurons that follow a Lorenz system.

    \b
    calsweep simulate lorenz lab/lorenz --speed-hz 10
    calsweep simulate lorenz lab/unique --conditions 480 --trials 1
    """  # noqa: D301 - click's mark for a line that stays as it is
    simulator = Lorenz(
        speed_hz=int(speed_hz),
        n_conditions=conditions,
        trials_per_condition=trials,
        n_neurons=neurons,
        noise=noise,
        bins_per_frame=bins_per_frame,
        form=Form(form),
        seed=seed,
        deconvolution=None if fluorescence else EVENTS,
    )
    _write(simulator, address, replace=replace)


def _write(simulator: Simulator, address: str, *, replace: bool) -> None:
    manifest = write_simulated(simulator, address=address, replace=replace, say=click.echo)
    click.echo(
        f"{address}: {len(manifest.recordings)} recordings of {len(manifest.subjects)} subjects, "
        f"{manifest.n_frames} frames of {len(manifest.units)} units at {manifest.rate_hz:g} Hz; "
        f"the truth is in {address.rstrip('/')}/{TRUTH_FILE}."
    )
    click.echo(f"\nNext: calsweep data check {address}")
