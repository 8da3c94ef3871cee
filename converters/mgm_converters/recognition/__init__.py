"""From names and shapes of arrays to an architecture, a method, a preprocessing."""
