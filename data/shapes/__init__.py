"""The embedded example: pictures of squares and triangles with masks, drawn from a seed, and the truth about them."""
