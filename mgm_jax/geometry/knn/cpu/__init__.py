"""Exact k nearest neighbours on CPUs, with the host's help.

| file | what |
|---|---|
| ``by_pairs`` | one cloud: every pair of tiles once |
| ``scan_on_host`` | those pairs scored by products of the host |
| ``kept_tiles`` | their tables, the latest of which are kept |
| ``by_gram`` | one small cloud: the Gram matrix of all pairs |
| ``in_small_groups`` | many small groups: one Gram matrix each |
| ``shortlist`` | the points with the smallest bounds of many rows |
| ``pair_distances`` | distances of listed pairs of points |
| ``aligned_points`` | points in memory that XLA reads where it lies |
| ``scaled_on_host`` | points on the host, scaled for the scan |
| ``sort_keys`` | ordering by distance and index in one sort |
"""
