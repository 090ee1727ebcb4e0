"""States of training in a file: every bit comes back, and nothing in it can be run."""

import math
from collections import OrderedDict

import pytest
import torch
from safetensors import SafetensorError

from calsweep.platform.population.replay import differing
from calsweep.platform.population.state_file import read_state, write_state


def test_tree_of_tensors_and_plain_values_comes_back(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "module": OrderedDict(a=shared, b=shared.t(), c=shared),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "lr": 0.1 + 0.2}}, "betas": (0.9,)},
        "empty": [torch.empty(0), [], {}, ()],
        "kinds": [torch.tensor([True, False]), torch.tensor([2**40]), torch.ones(1).bfloat16()],
        "plain": [None, True, 7, "text", math.inf, 1e-300],
    }
    write_state(tmp_path / "state", state)
    back = read_state(tmp_path / "state")
    assert differing(state, back) == []
    assert back["optimizer"]["state"][0]["lr"] == 0.30000000000000004
    assert isinstance(back["optimizer"]["betas"], tuple)
    assert [tensor.dtype for tensor in back["kinds"]] == [torch.bool, torch.int64, torch.bfloat16]
    assert back["module"]["b"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_optimizer_goes_on_from_what_was_read(tmp_path):
    def step(weights, optimizer):
        optimizer.zero_grad()
        (weights**3).sum().backward()
        optimizer.step()

    weights = torch.nn.Parameter(torch.tensor([0.5, -0.3]))
    optimizer = torch.optim.AdamW([weights], lr=0.1, fused=True)
    step(weights, optimizer)
    write_state(tmp_path / "state", {"w": weights, "o": optimizer.state_dict()})
    step(weights, optimizer)
    back = read_state(tmp_path / "state")
    other = torch.nn.Parameter(back["w"])
    again = torch.optim.AdamW([other], lr=9.0, fused=True)
    again.load_state_dict(back["o"])
    step(other, again)
    assert torch.equal(other, weights)


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(TypeError, match="tensors and plain values, but got set"):
        write_state(tmp_path / "state", {"a": [{1, 2}]})
    assert not (tmp_path / "state").exists()


def test_damaged_file_is_refused(tmp_path):
    write_state(tmp_path / "state", {"a": torch.ones(100)})
    whole = (tmp_path / "state").read_bytes()
    (tmp_path / "state").write_bytes(whole[:-8])
    with pytest.raises(SafetensorError):
        read_state(tmp_path / "state")
