"""Geometry of points: arrays in, arrays out; it knows no files, models or images.

From the bottom up:

| file | what |
|---|---|
| ``points``, ``groups``, ``duplicates`` | checks, partitions into groups, equal rows |
| ``precision``, ``selection``, ``distance`` | float64 where needed, smallest of many, distances |
| ``knn_scan``, ``knn_redo``, ``knn_grouped``, ``knn_sharded`` | exact neighbours: one cloud, hard rows, groups, many devices |
| ``knn_search``, ``knn`` | the choice among them, and the public graph |
| ``local_pca``, ``dimension``, ``spectrum`` | dimensions and spectra of neighbourhoods and clouds |
| ``kernel``, ``nnk``, ``nnk_graph`` | non-negative kernel regression |
| ``polytope``, ``affinity`` | diameter, radius and subspaces of the neighbourhoods found |
"""  # noqa: E501 - a table has long lines
