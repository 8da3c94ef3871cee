"""Non-negative kernel regression: kernels, candidates, the solver, the graph."""
