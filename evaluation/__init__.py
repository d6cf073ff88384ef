"""Translations measured: those of a data set during training, and for scripts/evaluate.py those of any system."""
