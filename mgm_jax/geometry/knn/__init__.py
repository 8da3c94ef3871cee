"""Exact k nearest neighbours.

A fast scan of all pairs proposes candidates with a proven error bound; distances in float64 order
them and certify the row; rows without a certificate fall back to a slower search.

| file | what |
|---|---|
| ``graph`` | the public ``knn_graph`` |
| ``search`` | which of the ways below suits machine and points |
| ``on_cpu`` | one cloud on a CPU: every pair of tiles once, ``shortlist`` keeps the best |
| ``on_device`` | one cloud on one accelerator, tile by tile |
| ``on_mesh`` | one cloud spread over devices: ``ring``, ``ring_points``, ``ring_fallback`` |
| ``by_gram`` | one small cloud on a CPU: the Gram matrix of all pairs |
| ``in_groups``, ``in_small_groups`` | many groups: by tiles, or by one Gram matrix each on a CPU |
| ``distance`` | scaling, the scan, its bounds, distances of pairs in float64 |
| ``buckets`` | the scan of accelerators: product, selection and bound in one pass |
| ``tile`` | candidates and certificates of one tile of queries |
| ``fallback`` | the rows that the scan could not settle: in float64, then in full |
| ``selection``, ``sort_keys`` | choosing the smallest, ordering by distance and index |
| ``pair_distances`` | distances of listed pairs of points on the host |
| ``placement`` | points on the host, scaled for the scan |
| ``repeats`` | from neighbours among distinct rows to neighbours among all |
"""
