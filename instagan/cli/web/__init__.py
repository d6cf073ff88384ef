"""The web page of ``python -m instagan app``."""
