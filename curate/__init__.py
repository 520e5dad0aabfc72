"""Curate: count tokens, plan the training run, select the few examples worth fine-tuning on."""

__version__ = "0.1.0"
