"""Generators, discriminators, encoders and the blocks they are made of."""
