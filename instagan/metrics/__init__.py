"""How good translations are: arrays and tensors in, numbers out. docs/evaluation.md tells what each figure means."""

PROTOCOL = "1"
"""Version of how figures are computed. Figures of different versions must not be compared: raise it with every change
that can move one."""
