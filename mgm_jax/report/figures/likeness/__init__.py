"""Which encoders are alike: heat map and tree of the metrics, map in the plane, similarity."""
