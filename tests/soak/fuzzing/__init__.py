"""Hostile input: for everything that reads what others made, cases without number and one law (``judging.py``)."""
