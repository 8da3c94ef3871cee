"""Exact k nearest neighbours.

A fast scan of all pairs proposes candidates with a proven error bound; distances in float64 order
them and certify the row; rows without a certificate fall back to a slower search.

| file | what |
|---|---|
| ``graph`` | the public ``knn_graph`` |
| ``search`` | which of the ways below suits machine and points |
| ``cpu`` | on a CPU: one cloud by pairs of tiles or by its Gram matrix, small groups |
| ``on_device`` | one cloud on one accelerator, tile by tile |
| ``mesh`` | one cloud spread over devices |
| ``in_groups`` | many groups, by tiles |
| ``distance`` | scaling, the scan, its bounds, distances of pairs in float64 |
| ``buckets`` | the scan of accelerators: product, selection and bound in one pass |
| ``great_features`` | what it keeps of features much greater than the others |
| ``in_pairs`` | the ranking of devices whose float64 is slow: in pairs of float32 |
| ``scaled`` | points there: powers of two, lengths in pairs |
| ``tile`` | candidates and certificates of one tile of queries |
| ``fallback`` | the rows that the scan could not settle: in float64 (or on the host), in full |
| ``selection`` | choosing the smallest, ordering by distance and index |
| ``repeats`` | from neighbours among distinct rows to neighbours among all |
"""
