"""Starting weights of EfficientNet from a file, whichever of the usual names its tensors have.

Checked in float64 against the packages themselves, with random weights and running means of theirs
in the file, on images of 64 x 64, 96 x 128 and 65 x 97: EfficientNet-PyTorch 0.7.1 and MONAI 1.6.1
(B0), torchvision 0.29.2 (B0, B1, B5), timm 1.0.31 (``efficientnet`` and ``tf_efficientnet``, B0 and
B1; ``tf_efficientnet_b5``). The features are theirs to 4e-16 of the largest, most to the last bit;
with the same weights under the other `Convention` they are off by 1 to 370 % of it.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from calsweep.trainables.efficientnet import Convention, ImageFeatures

if TYPE_CHECKING:
    from monai.networks.nets.efficientnet import EfficientNet

Pairs = Iterable[tuple[str, str]]


def load_weights(features: ImageFeatures, file: str | Path, /) -> None:
    """Start a network from the weights in a file; its classifier, if any, is left out.

    Parameters
    ----------
    features
        What gets the weights, in place.
    file
        A state dictionary: ``.safetensors``, or ``.pth`` or ``.pt`` as torch saves it. Nothing but
        tensors is read from it, and nothing in it is run.

    Raises
    ------
    ValueError
        If the file is not such a file, its names are of none of the known networks, a tensor is
        missing, left over or of another shape, or the weights were trained with other padding.
    """
    path = _local(file)
    tensors = _read(path)
    naming = _naming_of(tensors, path)
    if naming.convention not in {None, features.convention}:
        raise ValueError(
            f"{path} has {naming.owner}'s names, whose weights work with `convention="
            f"{naming.convention.value}` only, but got `convention={features.convention.value}`."
        )
    copy_tensors(
        naming.names(features),
        into=features,
        tensors={n: t for n, t in tensors.items() if not n.startswith(naming.head)},
        source=str(path),
    )


def copy_tensors(
    names: Mapping[str, str], /, *, into: ImageFeatures, tensors: Mapping[str, Tensor], source: str
) -> None:
    """Copy tensors into a network, all or none.

    Parameters
    ----------
    names
        What each tensor of the network is called among `tensors`.
    into
        What gets them.
    tensors
        Where they come from. None may be left over.
    source
        What to call that in messages.

    Raises
    ------
    ValueError
        If a tensor is missing, left over, or of another shape.
    """
    own = into.network.state_dict()
    counters = {n for n in names if n.endswith("num_batches_tracked")}  # old files have none
    missing = [names[n] for n in names if names[n] not in tensors and n not in counters]
    left_over = sorted(set(tensors) - set(names.values()))
    for name, theirs in names.items():
        if theirs in tensors and tensors[theirs].shape != own[name].shape:
            raise ValueError(
                f"`{theirs}` must have the shape {tuple(own[name].shape)}, but in {source} it has "
                f"{tuple(tensors[theirs].shape)}: {_OTHER_SIZE}"
            )
    for what, found in (("lacks", missing), ("has no place for", left_over)):
        if found:
            listing = ", ".join(f"`{name}`" for name in found[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            subject = source if what == "lacks" else "this network"
            raise ValueError(
                f"every tensor of {source} must have its place in the network and the other way "
                f"round, but {subject} {what} {listing}{more}: {_OTHER_SIZE}"
            )
    with torch.no_grad():
        for name, theirs in names.items():
            if theirs in tensors:
                own[name].copy_(tensors[theirs])


_OTHER_SIZE = "take weights of the same size, width and depth, or set those to the weights'."


@dataclass(frozen=True, kw_only=True)
class _Naming:
    """How a package names the tensors of the network.

    Attributes
    ----------
    owner
        Whose names they are.
    pairs
        Names of a network's modules: ours, and the package's.
    head
        How names begin that stand behind the features and are left out.
    convention
        What its weights were trained with, where the names tell.
    """

    owner: str
    pairs: Callable[[EfficientNet], Pairs]
    head: tuple[str, ...]
    convention: Convention | None = None

    def names(self, features: ImageFeatures) -> dict[str, str]:
        """Give its name of each tensor of the network."""
        theirs = dict(self.pairs(features.network))
        modules = {name: name.rpartition(".")[::2] for name in features.network.state_dict()}
        return {name: f"{theirs[of]}.{leaf}" for name, (of, leaf) in modules.items()}


def _local(file: str | Path) -> Path:
    if "://" in str(file):
        raise ValueError(
            f"`weights` must be a file of this machine when a decoder is built, but got {file}: "
            "fetch it, and give its path."
        )
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"`weights` must be a file, but there is none at {path}.")
    return path


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix not in {".safetensors", ".pth", ".pt"}:
        raise ValueError(
            f"`weights` must be a .safetensors, .pth or .pt file, but got {path}: save "
            "`module.state_dict()` with safetensors or torch.save."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"`weights` must hold tensors by name and nothing else, but {path} does not: "
            f"{type(error).__name__} while reading it. Save `module.state_dict()`."
        ) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise ValueError(
            f"`weights` must hold tensors by name and nothing else, but {path} holds a "
            f"{type(loaded).__name__} of other things: save `module.state_dict()`."
        )
    return dict(loaded)


def _naming_of(tensors: Mapping[str, Tensor], path: Path) -> _Naming:
    for stem, naming in _NAMINGS.items():
        if stem in tensors:
            return naming
    first = ", ".join(f"`{name}`" for name in list(tensors)[:3]) or "nothing"
    raise ValueError(
        f"`weights` must name tensors as {', '.join(n.owner for n in _NAMINGS.values())} do, but "
        f"{path} has {first}."
    )


# Names of a network's modules, which are MONAI's, beside those of each package.


def _prefixed(prefix: str) -> Callable[[EfficientNet], Pairs]:
    return lambda network: ((name, f"{prefix}{name}") for name, _ in network.named_modules())


def _efficientnet_pytorch(network: EfficientNet) -> Pairs:
    """Leave the stacks out; blocks are numbered through them anyway."""
    return (
        (name, re.sub(r"^_blocks\.\d+\.", "_blocks.", name)) for name, _ in network.named_modules()
    )


def _in_stacks(
    *,
    stem: Sequence[str],
    block: Callable[[int, int], str],
    expanding: Sequence[str],
    other: Sequence[str],
    last: Sequence[str],
) -> Callable[[EfficientNet], Pairs]:
    """Name modules as a package does that finds a block by its stack and its place there.

    `expanding` names the parts of a block that widens its input, `other` those of any other, which
    lacks the first two.
    """

    def pairs(network: EfficientNet) -> Pairs:
        yield from zip(("_conv_stem", "_bn0"), stem, strict=True)
        for stack, blocks in enumerate(network._blocks):
            for place, (number, layers) in enumerate(blocks.named_children()):
                theirs = expanding if layers.expand_ratio != 1 else other
                for part, name in zip(_PARTS[-len(theirs) :], theirs, strict=True):
                    yield f"_blocks.{stack}.{number}.{part}", f"{block(stack, place)}.{name}"
        yield from zip(("_conv_head", "_bn1"), last, strict=True)

    return pairs


_PARTS = (
    "_expand_conv", "_bn0", "_depthwise_conv", "_bn1",
    "_se_reduce", "_se_expand", "_project_conv", "_bn2",
)  # fmt: skip
_torchvision = _in_stacks(
    stem=("features.0.0", "features.0.1"),
    block=lambda stack, place: f"features.{stack + 1}.{place}.block",
    expanding=("0.0", "0.1", "1.0", "1.1", "2.fc1", "2.fc2", "3.0", "3.1"),
    other=("0.0", "0.1", "1.fc1", "1.fc2", "2.0", "2.1"),
    last=("features.8.0", "features.8.1"),
)
_timm = _in_stacks(
    stem=("conv_stem", "bn1"),
    block=lambda stack, place: f"blocks.{stack}.{place}",
    expanding=(
        "conv_pw", "bn1", "conv_dw", "bn2", "se.conv_reduce", "se.conv_expand", "conv_pwl", "bn3",
    ),
    other=("conv_dw", "bn1", "se.conv_reduce", "se.conv_expand", "conv_pw", "bn2"),
    last=("conv_head", "bn2"),
)  # fmt: skip


_TENSORFLOW = Convention.TENSORFLOW
# By a tensor that only these names have, the first that fits.
_NAMINGS: Mapping[str, _Naming] = {
    "_blocks.0._depthwise_conv.weight": _Naming(
        owner="EfficientNet-PyTorch",
        pairs=_efficientnet_pytorch,
        head=("_fc.",),
        convention=_TENSORFLOW,
    ),
    "_blocks.0.0._depthwise_conv.weight": _Naming(
        owner="MONAI", pairs=_prefixed(""), head=("_fc.",), convention=_TENSORFLOW
    ),
    "features.0.0.weight": _Naming(
        owner="torchvision",
        pairs=_torchvision,
        head=("classifier.",),
        convention=Convention.TORCHVISION,
    ),
    "conv_stem.weight": _Naming(owner="timm", pairs=_timm, head=("classifier.",)),
    "features.network._conv_stem.weight": _Naming(
        owner="this project's CNN", pairs=_prefixed("features.network."), head=("head.",)
    ),
    "cnn.network._conv_stem.weight": _Naming(
        owner="this project's CNN-RNN", pairs=_prefixed("cnn.network."), head=("rnn.", "readout.")
    ),
}
