"""Faster ways to run the same layers."""
