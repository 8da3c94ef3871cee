"""Exact k nearest neighbours: on a CPU, one accelerator, a mesh, or within groups."""
