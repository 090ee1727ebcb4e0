"""Settings that may change while a decoder trains: of its training, and in its modules."""

from __future__ import annotations

from torch import nn

from calsweep.platform.fold.loop import own_randomness
from calsweep.platform.fold.trainee import LIVE
from calsweep.platform.fold.weights import without_weights
from calsweep.platform.plain import nearest, overlay
from calsweep.trainables.decoder import Decoder, Problem

TRAINING = "training."
TRAINABLES = "trainables."


def carriers(
    decoder: Decoder, name: str, ends: tuple[float, float], problem: Problem, /
) -> list[tuple[str, str]]:
    """Find where a module keeps a setting of its decoder, so that it can change while it trains.

    Both ends of the range are tried, and the two modules compared.

    Parameters
    ----------
    decoder
        What builds the modules.
    name
        Dotted name of the setting.
    ends
        Of its range.
    problem
        What the decoder is asked to solve.

    Returns
    -------
    places
        Name of a module inside and of its attribute; first those that hold the very value.

    Raises
    ------
    ValueError
        If the setting changes the shapes of tensors, or no module keeps it.

    Examples
    --------
    >>> from calsweep.trainables.stacked_lstm import StackedLSTM
    >>> problem = Problem(frame_shape=(5,), window_length=4)
    >>> carriers(StackedLSTM(n_layers=2), "dropout", (0.1, 0.5), problem)
    [('layers', 'dropout'), ('connected.0.2', 'p'), ('connected.1.2', 'p')]
    """
    plain = without_weights(decoder)
    low, high = (build_alone(overlay(plain, {name: end}), problem) for end in ends)
    if _shapes(low) != _shapes(high):
        raise ValueError(
            f"`{TRAINABLES}{name}` changes the shapes of tensors, so a population cannot change it "
            "while it trains: search it with another tuner."
        )
    inside = dict(low.named_modules())
    places = [
        (at, attribute)
        for at, module in high.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, float) and vars(inside[at]).get(attribute) != value
    ]
    places.sort(key=lambda place: getattr(high.get_submodule(place[0]), place[1]) != ends[1])
    if not places or getattr(high.get_submodule(places[0][0]), places[0][1]) != ends[1]:
        raise ValueError(
            f"`{TRAINABLES}{name}` is nowhere in the module that {type(decoder).__name__} builds, "
            "so a population cannot change it while it trains: search it with another tuner."
        )
    return places


def check_live(name: str, /) -> None:
    """Check that a setting of training may change while a decoder trains.

    Raises
    ------
    ValueError
        If not.
    """
    setting = name.removeprefix(TRAINING)
    if not name.startswith(TRAINING) or setting not in LIVE:
        known = [f"{TRAINING}{live}" for live in LIVE]
        raise ValueError(
            f"`{name}` cannot be changed by a population while a decoder trains: search it with "
            f"another tuner. {nearest(name, known)} Of `trainables`, what is a number in its "
            "modules can be, such as a dropout."
        )


def build_alone(decoder: Decoder, problem: Problem, /) -> nn.Module:
    """Build a module whose weights do not matter, and draw nothing for it."""
    with own_randomness("cpu"):
        return decoder.build(problem)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
