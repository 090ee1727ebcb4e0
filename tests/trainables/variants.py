"""Every decoder that has a YAML in the folder, made small enough for tests."""

from pathlib import Path

import yaml

import calsweep
from calsweep.platform.plain import from_plain

VARIANTS = sorted((Path(calsweep.__file__).parent / "trainables").glob("*.yaml"))
# Of a frame, for decoders that do not read traces of units; by the name of the variant.
IMAGES = (32, 32)
FRAME_SHAPES = {"cnn": IMAGES, "cnn_gru": IMAGES, "cnn_lstm": IMAGES}
TRACES = (5,)
# Frames in a window, for decoders that do not take any number.
LENGTHS = {"cnn": 3}
# Variants that refuse windows of one frame.
OF_SEVERAL_FRAMES = {"cnn", "cnn_gru", "cnn_lstm"}
# What shrinks large decoders, and makes the outputs of random layers repeat.
HYBRID = {
    "n_features": [8, 16],
    "n_groups": 4,
    "n_hidden": 8,
    "n_attention_heads": 4,
    "conv_dropout": 0.0,
    "dropout": 0.0,
}
CNN = {"width": 0.25, "depth": 0.25, "dropout": 0.0, "stochastic_depth": 0.0}
CNN_RNN = {
    "cnn": {"_target_": "calsweep.trainables.cnn.Cnn"} | CNN,
    "n_hidden": 8,
    "dropout": 0.0,
}
SMALL = {
    "cnn": CNN,
    "cnn_gru": CNN_RNN,
    "cnn_lstm": CNN_RNN,
    "stacked_lstm": {"n_hidden": 8, "n_connected": [8], "dropout": 0.0},
    "hybrid": HYBRID,
    "hybrid_published": HYBRID | {"n_head_hidden": 8},
    "temporal_cnn": {
        "n_features": [8, 16],
        "n_taps": [3, 5],
        "n_connected": [8],
        "dropout": 0.0,
    },
    "attention_lstm": {
        "n_hidden": 8,
        "n_attention": 8,
        "n_connected": [8],
        "n_class_head": 8,
        "n_other_head": 8,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "head_dropout": 0.0,
    },
}


def decoder_of(variant):
    return from_plain(yaml.safe_load(variant.read_text()) | SMALL.get(variant.stem, {}))


def length_of(variant):
    return LENGTHS.get(variant.stem, 7)


def frame_shape_of(variant):
    return FRAME_SHAPES.get(variant.stem, TRACES)
