"""Geometry of points: arrays in, arrays out; it knows no files, models or images.

From the bottom up; a room imports from those above it in this table, never from those below:

| room | what |
|---|---|
| ``backend`` | what depends on the machine: float64 where needed, threads, fast sums |
| ``points`` | checks, what rounding costs, groups, equal rows |
| ``knn`` | exact k nearest neighbours; ``knn.graph.knn_graph`` |
| ``nnk`` | non-negative kernel regression; ``nnk.graph.nnk_graph`` |
| ``local`` | what a neighbourhood spans; ``local.pca.local_pca`` |
| ``cloud`` | measures of a whole cloud, from moments, spectrum, views, pairs; beside ``nnk`` |

Each room says at its head what its files hold. Functions spread over devices use ``parallel``,
which stands beside the geometry and knows nothing of it.
"""
