"""Speed, memory, ablation: what the figures of the docs come from."""
