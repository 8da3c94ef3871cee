"""Exact k nearest neighbours of one cloud spread over devices.

| file | what |
|---|---|
| ``on_mesh`` | the search |
| ``ring`` | its scan in tiles, its ranking in float64 |
| ``ring_buckets`` | the scan of accelerators |
| ``ring_pairs`` | the ranking where float64 is slow |
| ``ring_points`` | spread points, scaled and rounded tile by tile |
| ``ring_fallback`` | the rows that the scan could not settle |
| ``fallback_to_hosts`` | the same where float64 is slow |
"""
