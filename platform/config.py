"""From the command line to typed settings: Hydra composes, `calsweep.platform.plain` builds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from calsweep.platform.errors import first_line
from calsweep.platform.plain import from_plain, nearest
from calsweep.platform.record import SweepRecord
from calsweep.platform.settings import SweepSettings
from calsweep.search_spaces.space import ARM, Choice
from calsweep.search_spaces.suggestion import Tuner

if TYPE_CHECKING:
    from calsweep.platform.dynamics.experiment import Experiment
    from calsweep.platform.dynamics.settings import DynamicsSettings

GROUPS = ("trainables", "datasets", "search_spaces")
EXPERIMENTS = "search_spaces/experiment"
DYNAMICS_EXPERIMENTS = "search_spaces/dynamics"
ARMS = "search_spaces.arms."
EVERY_ARM = "*"
# Folders of variants of one setting, and the setting.
NESTED_GROUPS = {"datasets/folds": "datasets.folds", "datasets/masks": "datasets.mask"}


OF_SWEEPS = {group: group for group in (*GROUPS, *NESTED_GROUPS)}
DYNAMICS = {
    "trainables": "trainables/lfads",
    "search_spaces": "search_spaces/lfads",
    "datasets/masks": "datasets/masks",
}


def compose_settings(overrides: Sequence[str], /) -> SweepSettings:
    """Compose ``sweep.yaml`` with overrides and build the sweep's settings.

    Parameters
    ----------
    overrides
        ``group=variant`` or ``dotted.name=value``, as Hydra reads them. What an arm sets itself is
        changed by ``search_spaces.arms.ARM.dotted.name=value``, or with ``*`` in every arm.

    Raises
    ------
    ValueError
        If an override is unknown (the message names the nearest) or its value does not suit.

    Examples
    --------
    >>> settings = compose_settings(
    ...     [
    ...         "+experiment=footsteps",
    ...         "datasets.address=m1",
    ...         "training.epochs=20",
    ...         "search_spaces.arms.LSTM.training.epochs=10",
    ...     ]
    ... )
    >>> [settings.configuration({"arm": arm}).training.epochs for arm in ("Hybrid", "LSTM")]
    [20, 10]
    """
    of_arms = [override for override in overrides if override.startswith(ARMS)]
    hydra_overrides = [_as_hydra(item) for item in overrides if not item.startswith(ARMS)]
    plain = _composed("sweep", hydra_overrides)
    try:
        arms = _arms(plain, of_arms)
    except (HydraException, OmegaConfBaseException) as error:
        raise _cannot_be_composed(error) from error
    if arms:
        plain["search_spaces"] = {**plain["search_spaces"], "arms": arms}
    settings = from_plain({"_target_": _TARGET, **plain})
    assert isinstance(settings, SweepSettings)  # noqa: S101 - the target says so
    return replace(settings, overrides=tuple(overrides))


def compose_dynamics(overrides: Sequence[str], /) -> DynamicsSettings:
    """Compose ``dynamics.yaml`` with overrides and build the settings of a population of models.

    Parameters
    ----------
    overrides
        As for `compose_settings`.

    Raises
    ------
    ValueError
        If an override is unknown or its value does not suit.

    Examples
    --------
    >>> settings = compose_dynamics(["datasets.address=m1", "trainables=lfads", "seed=3"])
    >>> type(settings.trainables.observation).__name__, settings.seed
    ('Poisson', 3)
    """
    from calsweep.platform.dynamics.settings import DynamicsSettings

    plain = _composed("dynamics", [_as_hydra(item, groups=DYNAMICS) for item in overrides])
    settings = from_plain({"_target_": _DYNAMICS_TARGET, **plain})
    assert isinstance(settings, DynamicsSettings)  # noqa: S101 - the target says so
    return replace(settings, overrides=tuple(overrides))


@dataclass(frozen=True, kw_only=True)
class ExperimentCommand:
    """An experiment on models of dynamics as a person asked for it.

    Attributes
    ----------
    name
        Of the experiment.
    experiment
        What it is.
    only
        Some of its values.
    simulation
        What differs from the simulator's settings.
    overrides
        Of every population.
    """

    name: str
    experiment: Experiment
    only: tuple[str, ...]
    simulation: Mapping[str, Any]
    overrides: tuple[str, ...]


def experiment_of(overrides: Sequence[str], /) -> ExperimentCommand | None:
    """Give the experiment that overrides of `calsweep lfads` name; ``None`` if they name none.

    Raises
    ------
    ValueError
        If there is none of the name.

    Examples
    --------
    >>> command = experiment_of(
    ...     ["+experiment=lorenz_speeds", "values=[7,10]", "simulation.n_neurons=60", "seed=1"]
    ... )
    >>> command.name, command.only, dict(command.simulation), command.overrides
    ('lorenz_speeds', ('7', '10'), {'n_neurons': 60}, ('seed=1',))
    """
    names = [item.partition("=")[2] for item in overrides if item.startswith("+experiment=")]
    if not names:
        return None
    _check_variants(DYNAMICS_EXPERIMENTS, names[0])
    file = resources.files("calsweep").joinpath(DYNAMICS_EXPERIMENTS, f"{names[0]}.yaml")
    rest: list[str] = []
    only: tuple[str, ...] = ()
    simulation: dict[str, Any] = {}
    for override in overrides:
        name, _, text = override.partition("=")
        if name == "values":
            only = tuple(map(str, _value(text)))
        elif name.startswith("simulation."):
            simulation[name.removeprefix("simulation.")] = _value(text)
        elif name != "+experiment":
            rest.append(override)
    return ExperimentCommand(
        name=names[0],
        experiment=from_plain(OmegaConf.to_container(OmegaConf.create(file.read_text()))),
        only=only,
        simulation=simulation,
        overrides=tuple(rest),
    )


def settings_of(sweep: SweepRecord, /, *, home: Path) -> SweepSettings:
    """Give the settings that a sweep was begun with, to go on with it.

    Parameters
    ----------
    sweep
        Its record.
    home
        Where the record lies.
    """
    settings = compose_settings(sweep.overrides) if sweep.overrides else from_plain(sweep.settings)
    view = replace(settings.datasets, address=sweep.dataset["address"])
    return replace(settings, datasets=view, home=home, name=sweep.name)


def unheard(overrides: Sequence[str], settings: SweepSettings, /) -> Iterator[str]:
    """Say of each override where it is not heard: an arm sets the same itself, or it is varied.

    Examples
    --------
    >>> overrides = ["+experiment=footsteps", "datasets.address=m1", "training.epochs=20"]
    >>> for line in unheard(overrides, compose_settings(overrides)):
    ...     print(line)
    `training.epochs` is set by the arm LSTM itself: to change it there, \
search_spaces.arms.LSTM.training.epochs=20
    """
    space = settings.search_spaces
    for override in overrides:
        name, _, value = override.lstrip("+").partition("=")
        if name.startswith("population.") and settings.tuner is not Tuner.POPULATION:
            yield f"`{name}` is heard by tuner=population alone."
        if name == "training.epochs" and settings.tuner is Tuner.POPULATION:
            yield (
                "`training.epochs` is not heard by a population: population.generation epochs make "
                "a generation, and there are population.generations."
            )
        if name in space.axes:
            is_choice = isinstance(space.axes[name], Choice)
            keep = (
                f"search_spaces.{name}.choices=[{value}]" if is_choice else f"~search_spaces.{name}"
            )
            yield (
                f"`{name}` is varied by the search, which does not hear of {value}: to keep it at "
                f"that, add {keep}"
            )
        for arm in space.arms:
            own = space.settings({ARM: arm})
            is_own = any(name == setting or name.startswith(f"{setting}.") for setting in own)
            if is_own and not _reaches(arm, override, overrides=overrides, own=own):
                yield (
                    f"`{name}` is set by the arm {arm} itself: to change it there, "
                    f"{ARMS}{arm}.{name}={value}"
                )


def _reaches(arm: str, override: str, *, overrides: Sequence[str], own: Mapping[str, Any]) -> bool:
    """Say whether what an arm sets is another without an override, to which it may refer."""
    without = compose_settings([other for other in overrides if other != override])
    return without.search_spaces.settings({ARM: arm}) != own


def experiments() -> dict[str, str]:
    """Give the experiments, each with what it is in a sentence.

    Examples
    --------
    >>> experiments()["widefield_rnns"]
    'W, Fig 4F: simple RNN, LSTM and GRU, each in one direction and in both.'
    """
    folder = resources.files("calsweep").joinpath(EXPERIMENTS)
    return {
        name: next(
            line.removeprefix("# ")
            for line in folder.joinpath(f"{name}.yaml").read_text().splitlines()
            if line.startswith("# ") and not line.startswith("# @package")
        )
        for name in variants(EXPERIMENTS)
    }


def variants(group: str, /) -> tuple[str, ...]:
    """Give the names that a group of settings may take.

    Examples
    --------
    >>> "gru" in variants("trainables")
    True
    """
    folder = resources.files("calsweep").joinpath(group)
    return tuple(
        sorted(
            item.name.removesuffix(".yaml")
            for item in folder.iterdir()
            if item.name.endswith(".yaml")
        )
    )


def variant_target(group: str, variant: str, /) -> str:
    """Give the type that a variant of a group builds.

    Examples
    --------
    >>> variant_target("datasets/folds", "time_blocks")
    'calsweep.datasets.fold_in_time.TimeBlocks'
    """
    file = resources.files("calsweep").joinpath(group, f"{variant}.yaml")
    return str(OmegaConf.select(OmegaConf.create(file.read_text()), "_target_"))


_WITH_AND = re.compile(r"[\w ]+(&[\w ]+)+")
_TARGET = "calsweep.platform.settings.SweepSettings"
_DYNAMICS_TARGET = "calsweep.platform.dynamics.settings.DynamicsSettings"


def _composed(root: str, overrides: list[str]) -> dict[str, Any]:
    try:
        with initialize_config_module("calsweep", version_base="1.3"):
            config = compose(root, overrides=overrides)
        return _as_dict(OmegaConf.to_container(config, resolve=True))
    except (HydraException, OmegaConfBaseException) as error:
        raise _cannot_be_composed(error) from error


def _cannot_be_composed(error: Exception) -> ValueError:
    return ValueError(f"The settings cannot be composed: {first_line(error)}")


def _as_hydra(override: str, *, groups: Mapping[str, str] = OF_SWEEPS) -> str:
    """Let a setting be named that no YAML repeats, and check the names of variants."""
    name, equals, value = override.partition("=")
    if not equals and not name.startswith("~"):
        raise ValueError(f"`NAME=VALUE` is the form of an override, but got {override!r}.")
    if name.removeprefix("+") == "experiment":
        _check_variants(EXPERIMENTS, value)
        return f"+{EXPERIMENTS}={value}"
    if name.startswith(("+", "~")):
        return override
    if name in groups:
        _check_variants(groups[name], value)
        return f"{groups[name]}{'' if groups[name] == name else f'@{name}'}={value}"
    if _WITH_AND.fullmatch(value):
        return f"++{name}='{value}'"  # a group of regions is named so, and Hydra has no word for it
    return f"++{override}"


def _arms(plain: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give the arms of a search space, their variants opened and what overrides change in them."""
    space = plain.get("search_spaces") or {}
    arms = {arm: _opened(settings) for arm, settings in (space.get("arms") or {}).items()}
    for override in overrides:
        arm, dot, setting = override.partition("=")[0].removeprefix(ARMS).partition(".")
        value = _value(override.partition("=")[2])
        if not dot:
            arms[arm] = _opened(value)
            continue
        if arm not in (*arms, EVERY_ARM):
            raise ValueError(f"`{ARMS}{arm}` is not an arm. {nearest(arm, arms)}")
        for chosen in arms if arm == EVERY_ARM else [arm]:
            _set(arms[chosen], setting.split("."), _variant(setting, value))
    return arms


def _value(text: str) -> Any:
    """Read a value as Hydra does."""
    return OverridesParser.create().parse_override(f"value={text}").value()


def _opened(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Let an arm name a variant, as an override does."""
    return {name: _variant(name, value) for name, value in (settings or {}).items()}


def _set(settings: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner = settings.get(name)
        settings[name] = dict(inner) if isinstance(inner, Mapping) else {}
        settings = settings[name]
    settings[path[-1]] = value


def _variant(group: str, value: Any) -> Any:
    if group not in GROUPS or not isinstance(value, str):
        return value
    _check_variants(group, value)
    file = resources.files("calsweep").joinpath(group, f"{value}.yaml")
    return OmegaConf.to_container(OmegaConf.create(file.read_text()))


def _check_variants(group: str, value: str) -> None:
    known = variants(group)
    if value.startswith("[") and group != "search_spaces":
        raise ValueError(
            f"`{group}` takes one variant, but got {value}: to compare several, name what differs "
            f"in a search space, as search_spaces.{group}.SETTING.choices=[...]."
        )
    for name in value.strip("[]").split(","):
        if name.strip() not in known:
            hint = nearest(name.strip(), known)
            raise ValueError(f"`{group}={name.strip()}` is not known. {hint}")


def _as_dict(plain: Any) -> dict[str, Any]:
    return {str(key): value for key, value in plain.items()}
