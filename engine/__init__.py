"""What a run needs and no method should know."""
