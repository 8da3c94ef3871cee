"""What a neighbourhood spans: polytopes, subspaces, local PCA."""
