"""All models of an MLflow, for somebody who only looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calsweep.platform.champion.registry import RegisteredModel, Registry
from calsweep.platform.tracking.tracking import refusals

_SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A registered model.

    Attributes
    ----------
    name
        Of the model.
    aliases
        Alias to version.
    versions
        The latest first.
    """

    name: str
    aliases: Mapping[str, str]
    versions: tuple[RegisteredModel, ...]

    def aliased(self, alias: str, /) -> RegisteredModel | None:
        """Give the version that an alias names."""
        version = self.aliases.get(alias)
        return next((model for model in self.versions if model.version == version), None)


def registered(uri: str, /) -> dict[str, CatalogEntry]:
    """Ask an MLflow for its registered models; a file of SQLite that is not there is not made.

    Raises
    ------
    TrackingRefused
        If it cannot be asked.
    """
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        return {}
    with refusals(uri):
        registry = Registry(uri)
        return {
            name: CatalogEntry(name=name, aliases=aliases, versions=registry.versions(name))
            for name, aliases in registry.models().items()
        }
