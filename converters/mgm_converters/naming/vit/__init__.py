"""Vision transformers: a spelling a file."""
