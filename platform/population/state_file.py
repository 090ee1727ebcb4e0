"""Nested states of training in one file, without pickle: safetensors, and their tree as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

_TREE = "tree"


def write_state(path: Path, state: Mapping[Any, Any], /) -> None:
    """Write dictionaries, lists and tuples of tensors and plain values.

    Raises
    ------
    TypeError
        If there is anything else in them.

    Examples
    --------
    >>> import tempfile
    >>> state = {"weights": [torch.ones(2), (0.1, None)], 3: {"is_done": True}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_state(Path(folder) / "state", state)
    ...     read_state(Path(folder) / "state")
    {'weights': [tensor([1., 1.]), (0.1, None)], 3: {'is_done': True}}
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_taken_apart(state, tensors))
    save_file(tensors, path, metadata={_TREE: tree})


def read_state(path: Path, /) -> dict[Any, Any]:
    """Read what `write_state` wrote, tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    safetensors.SafetensorError
        If it is damaged.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        tree = json.loads(file.metadata()[_TREE])
    state: dict[Any, Any] = _put_together(tree, tensors)
    return state


def _taken_apart(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Give a tree for JSON, which has no tuples and no keys but strings; tensors go beside it."""
    if isinstance(node, torch.Tensor):
        name = str(len(tensors))
        # A copy of its own: safetensors refuses tensors that share memory.
        tensors[name] = node.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(node, Mapping):
        return {"items": [[key, _taken_apart(item, tensors)] for key, item in node.items()]}
    if isinstance(node, tuple):
        return {"tuple": [_taken_apart(item, tensors) for item in node]}
    if isinstance(node, list):
        return [_taken_apart(item, tensors) for item in node]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"a state must hold tensors and plain values, but got {type(node).__name__}.")


def _put_together(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_put_together(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(_put_together(item, tensors) for item in content)
    return {key: _put_together(item, tensors) for key, item in content}
