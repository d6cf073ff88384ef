"""Flags, their values, and the folder of a run."""
