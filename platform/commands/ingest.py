"""``calsweep ingest``: a lab's files become a checked dataset."""

from __future__ import annotations

from typing import Any

import click

from calsweep.datasets.catalog import SourceEntry, sources
from calsweep.datasets.fold import check_target
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.shard_writer import SHARD_MB, Compression
from calsweep.datasets.source import Source
from calsweep.platform.commands import step
from calsweep.platform.commands.dataclass_option import help_of, options_of, values_of
from calsweep.platform.ingestion import ingest as ingest_files
from calsweep.platform.plain import nearest


class SourceGroup(click.Group):
    """One command a source, built from its dataclass when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names of the sources."""
        return list(sources())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a source and make its command."""
        entry = sources().get(cmd_name)
        if entry is None:
            hint = nearest(cmd_name, sources())
            raise click.UsageError(f"`{cmd_name}` is not a source. {hint}", ctx)
        return _command(cmd_name, entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the sources, and an example of each, without importing them."""
        with formatter.section("Sources"):
            formatter.write_dl([(name, entry.summary) for name, entry in sources().items()])
        with formatter.section("Examples"):
            for entry in sources().values():
                formatter.write(f"{'':{formatter.current_indent}}{entry.example}\n")


@click.group(cls=SourceGroup, options_metavar="", subcommand_metavar="SOURCE FROM TO [OPTIONS]")
def ingest() -> None:
    """Read recordings FROM a folder or a file and write a dataset TO a folder or s3:// address."""


_ARGUMENTS = (
    click.Argument(["origin"], metavar="FROM"),
    click.Argument(["address"], metavar="TO"),
)
_COMMON = (
    click.Option(
        ["--only"],
        multiple=True,
        metavar="PATTERN",
        help="Take files of such a name alone, as in 'm1_*'; again for more.",
    ),
    click.Option(
        ["--common-units"],
        is_flag=True,
        help="Leave out units that some of the recordings lack, told by their names.",
    ),
    click.Option(
        ["--resample-hz"], type=float, help="Bring every recording to this rate, trial by trial."
    ),
    click.Option(
        ["--trial-frames"], type=int, help="Cut recordings into trials of so many frames."
    ),
    click.Option(
        ["--shard-mb"],
        type=click.FloatRange(min=0, min_open=True),
        default=SHARD_MB,
        show_default=True,
        help="Megabytes of frames in a shard, before compression; 16 to 128 suit object storage.",
    ),
    click.Option(
        ["--compression"],
        type=click.Choice([way.value for way in Compression]),
        default=Compression.AUTO.value,
        show_default=True,
        help="Of images; auto: where it saves half of the bytes, on S3 a quarter.",
    ),
    click.Option(
        ["--replace"],
        is_flag=True,
        help="Replace a dataset that is there already (nothing else ever is).",
    ),
)


def _command(name: str, entry: SourceEntry) -> click.Command:
    kind = entry.load()

    def run(
        origin: str,
        address: str,
        only: tuple[str, ...],
        common_units: bool,
        resample_hz: float | None,
        trial_frames: int | None,
        shard_mb: float,
        compression: str,
        replace: bool,
        **given: Any,
    ) -> None:
        steps = step.take_steps(given)
        _run(
            kind(**values_of(kind, given)),
            origin,
            address,
            only=only,
            common_units=common_units,
            steps=steps,
            rate_hz=resample_hz,
            trial_frames=trial_frames,
            shard_mb=shard_mb,
            compression=Compression(compression),
            replace=replace,
        )

    return click.Command(
        name,
        callback=run,
        params=[*_ARGUMENTS, *options_of(kind), *step.OPTIONS, *_COMMON],
        help=help_of(kind, example=entry.example),
        short_help=entry.summary,
    )


def _run(source: Source, origin: str, address: str, **options: Any) -> None:
    manifest = ingest_files(source, origin=origin, address=address, say=click.echo, **options)
    click.echo(
        f"{address}: {len(manifest.recordings)} recordings of {len(manifest.subjects)} subjects, "
        f"{manifest.n_frames} frames of {len(manifest.units)} units at {manifest.rate_hz:g} Hz."
    )
    click.echo(f"\nNext: calsweep data check {address}")
    target = next((label for label in manifest.labels if _decodes(manifest, label)), "BEHAVIOR")
    click.echo(
        f"      calsweep sweep datasets=traces datasets.address={address} datasets.target={target}"
    )


def _decodes(manifest: Manifest, label: str) -> bool:
    try:
        check_target(manifest, target=label)
    except ValueError:
        return False
    return True
