"""Metrics on devices whose float64 is slow: pairs of float32 there, float64 on the host after it.

| file | what |
|---|---|
| ``local`` | what a point and its candidates say alone |
| ``frames`` | orthonormal frames of polytopes in float32, and how far they are off |
| ``large_groups`` | clouds whose candidates come from a k-NN graph |
| ``small_groups`` | groups that have one Gram matrix |

A point that pairs or float32 do not settle is measured in float64 on the host.
"""
