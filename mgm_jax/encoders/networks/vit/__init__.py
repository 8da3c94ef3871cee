"""Vision transformers: the network, its block, its positions."""
