"""The networks as Flax modules with named taps, and what they are made of."""
