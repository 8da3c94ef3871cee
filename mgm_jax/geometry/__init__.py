"""Geometry of points: arrays in, arrays out; it knows no files, models or images.

From the bottom up:

| file | what |
|---|---|
| ``points``, ``groups``, ``duplicates`` | checks, partitions into groups, equal rows |
| ``precision``, ``selection``, ``distance`` | float64 where needed, choosing, distances |
| ``knn_tile``, ``knn_redo`` | neighbours of one tile of points; the rows it could not settle |
| ``knn_scan``, ``knn_grouped``, ``knn_sharded`` | searches: one cloud, many groups, many devices |
| ``knn_search``, ``knn`` | the choice among them, and the public graph |
| ``local_pca``, ``dimension``, ``spectrum`` | dimensions and spectra of neighbourhoods and clouds |
| ``kernel``, ``nnk``, ``nnk_graph`` | non-negative kernel regression |
| ``polytope``, ``affinity``, ``spans`` | diameter, radius and subspaces of neighbourhoods |
| ``local_spectrum``, ``left_out`` | spectra of candidates, and of all but one of a group |
"""
