"""Exact k nearest neighbours of one cloud spread over devices.

| file | what |
|---|---|
| ``on_mesh`` | the search |
| ``ring`` | its compiled programs |
| ``ring_points`` | spread points, scaled and rounded tile by tile |
| ``ring_fallback`` | the rows that the scan could not settle |
| ``fallback_to_hosts`` | the same where float64 is slow |
"""
