"""Distributed hyperparameter search for neural decoders of calcium imaging."""

__version__ = "0.1.0"
