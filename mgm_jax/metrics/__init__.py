"""Manifold graph metrics of groups of points, baseline metrics of a model, and their statistics."""
