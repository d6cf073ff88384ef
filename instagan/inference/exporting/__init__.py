"""Trained models for other programs: a module per format, and the model card that goes with all of them."""
