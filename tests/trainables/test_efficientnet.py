"""The network as published, and images made of a frame and its neighbors."""

import pytest
import torch
from torch import nn

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.efficientnet import PREDICTED_AT_ONCE, Convention, Size
from tests.trainables.images import N_RUNS, N_WINDOWS, SIDE, build, features_of, frames_of_runs


class TestNetwork:
    def test_b0_has_the_published_number_of_parameters(self):
        features = features_of()
        assert sum(p.numel() for p in features.parameters()) == 4_007_548
        assert features.n_features == 1280
        module = build(Cnn())
        assert sum(p.numel() for p in module.parameters()) == 4_007_548 + 1280 + 1

    def test_b1_is_deeper_and_b2_wider(self):
        assert sum(p.numel() for p in features_of(Size.B1).parameters()) == 6_513_184
        assert sum(p.numel() for p in features_of(Size.B2).parameters()) == 7_700_994
        assert features_of(Size.B2).n_features == 1408

    def test_width_and_depth_make_it_small(self):
        features = features_of(width=0.25, depth=0.25)
        assert sum(p.numel() for p in features.parameters()) == 123_612
        assert features.n_features == 320

    @pytest.mark.parametrize(
        ("convention", "border"),
        [(Convention.TENSORFLOW, (0, 1)), (Convention.TORCHVISION, (1, 1))],
    )
    def test_convention_decides_where_the_border_of_an_even_side_goes(self, convention, border):
        stem = features_of(convention=convention).network
        nn.init.ones_(stem._conv_stem.weight)
        seen = stem._conv_stem(stem._conv_stem_padding(torch.ones(1, 3, SIDE, SIDE)))[0, 0] / 3
        before, behind = border
        assert seen.shape == (SIDE // 2, SIDE // 2)
        assert seen[0, 0] == (3 - before) ** 2  # pixels under the kernel
        # A last stride that does not reach the border sees as many pixels as any other.
        assert seen[-1, -1] == (3 - (behind if before == 0 else 0)) ** 2

    def test_image_need_not_be_square(self):
        assert build(shape=(33, 64))(frames_of_runs(shape=(33, 64))).shape == (N_RUNS, N_WINDOWS, 1)

    def test_convention_decides_what_is_added_to_variances(self):
        def added(size, convention):
            network = features_of(size, convention=convention, width=0.1, depth=0.1).network
            return {part.eps for part in network.modules() if isinstance(part, nn.BatchNorm2d)}

        assert added(Size.B0, Convention.TENSORFLOW) == {1e-3}
        assert added(Size.B4, Convention.TORCHVISION) == {1e-5}
        assert added(Size.B5, Convention.TORCHVISION) == {1e-3}


class TestImages:
    def test_image_has_the_frame_between_its_neighbors(self):
        """With a network that only adds up its channels, each by its own factor."""
        features = features_of(width=0.1, depth=0.1)
        features.network = _Factors()
        frames = torch.arange(14.0).view(2, 7, 1, 1) * torch.ones(2, 7, SIDE, SIDE)
        expected = [[12, 123, 234, 345, 456], [789, 900, 1011, 1122, 1233]]
        for training in (True, False):
            features.train(training)
            with torch.set_grad_enabled(training):
                assert features(frames).squeeze(-1).tolist() == expected

    @pytest.mark.parametrize(("n_runs", "n_frames"), [(1, 150), (70, 4), (3, 70)])
    def test_prediction_in_parts_gives_what_it_gives_at_once(self, n_runs, n_frames):
        features = features_of(width=0.1, depth=0.1)
        features.network = _Factors()
        features.eval()
        frames = torch.randn(n_runs, n_frames, 1, 1).expand(-1, -1, SIDE, SIDE)
        at_once = features(frames)
        with torch.no_grad():
            in_parts = features(frames)
        assert torch.equal(in_parts, at_once)
        assert features.network.n_at_once[0] == n_runs * (n_frames - 2)
        assert max(features.network.n_at_once[1:]) <= PREDICTED_AT_ONCE

    def test_images_have_channels_last(self):
        features = features_of(width=0.1, depth=0.1)
        features.network = _Factors()
        features(frames_of_runs())
        assert features.network.channels_last


class _Factors(nn.Module):
    """100, 10 and 1 times the channels' first pixels."""

    def __init__(self):
        super().__init__()
        self.n_at_once = []

    def forward(self, images):
        self.n_at_once.append(len(images))
        self.channels_last = images.is_contiguous(memory_format=torch.channels_last)
        return images[:, :, 0, 0] @ images.new_tensor([[100.0], [10.0], [1.0]])
