"""Probes: what labels say about embeddings. So far, the vote of the nearest neighbours."""
