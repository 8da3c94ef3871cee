"""Which models are alike, and how surely."""
