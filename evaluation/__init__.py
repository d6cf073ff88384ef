"""Translations of a data set, measured: during training, and for scripts/evaluate.py."""
