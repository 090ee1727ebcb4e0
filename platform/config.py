"""From the command line to typed settings: Hydra composes, `calsweep.platform.plain` builds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from calsweep.platform.errors import first_line
from calsweep.platform.plain import from_plain, nearest
from calsweep.platform.settings import SweepSettings

GROUPS = ("trainables", "datasets", "search_spaces")
EXPERIMENTS = "search_spaces/experiment"
# Folders of variants of one setting, and the setting.
NESTED_GROUPS = {"datasets/folds": "datasets.folds", "datasets/masks": "datasets.mask"}


def compose_settings(overrides: Sequence[str], /) -> SweepSettings:
    """Compose ``sweep.yaml`` with overrides and build the sweep's settings.

    Parameters
    ----------
    overrides
        ``group=variant`` or ``dotted.name=value``, as Hydra reads them.

    Raises
    ------
    ValueError
        If an override is unknown (the message names the nearest) or its value does not suit.
    """
    hydra_overrides = [_as_hydra(override) for override in overrides]
    try:
        with initialize_config_module("calsweep", version_base="1.3"):
            config = compose("sweep", overrides=hydra_overrides)
        plain = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"The settings cannot be composed: {first_line(error)}") from error
    settings = from_plain({"_target_": _TARGET, **_with_variants(_as_dict(plain))})
    assert isinstance(settings, SweepSettings)  # noqa: S101 - the target says so
    return replace(settings, overrides=tuple(overrides))


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


def _as_hydra(override: str) -> str:
    """Let a setting be named that no YAML repeats, and check the names of variants."""
    name, equals, value = override.partition("=")
    if not equals:
        raise ValueError(f"`NAME=VALUE` is the form of an override, but got {override!r}.")
    if name.removeprefix("+") == "experiment":
        _check_variants(EXPERIMENTS, value)
        return f"+{EXPERIMENTS}={value}"
    if name.startswith(("+", "~")):
        return override
    if name in NESTED_GROUPS:
        _check_variants(name, value)
        return (
            f"+{override}"  # `sweep.yaml` names none: without a variant, the field's default holds
        )
    if name in GROUPS:
        _check_variants(name, value)
        return override
    if _WITH_AND.fullmatch(value):
        return f"++{name}='{value}'"  # a group of regions is named so, and Hydra has no word for it
    return f"++{override}"


def _with_variants(plain: dict[str, Any]) -> dict[str, Any]:
    """Let an arm of a search space name a variant, as an override does."""
    space = dict(plain.get("search_spaces") or {})
    arms = {
        arm: {name: _variant(name, value) for name, value in settings.items()}
        for arm, settings in (space.get("arms") or {}).items()
    }
    return {**plain, "search_spaces": {**space, **({"arms": arms} if arms else {})}}


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
