"""Pictures of results for the README and the docs, drawn by Matplotlib for print."""
