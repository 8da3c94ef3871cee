"""Whether untrained encoders are collapsed."""
