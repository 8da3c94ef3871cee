"""Metrics on devices whose float64 is slow: pairs of float32 there, float64 on the host after it.

| file | what |
|---|---|
| ``local`` | what a point and its candidates say alone |
| ``frames`` | orthonormal frames of polytopes in float32, and how far they are off |
| ``subspaces`` | what the polytopes of a large group span, as it stays on the device |
| ``compare`` | polytopes of a large group compared |
| ``large_groups`` | clouds whose candidates come from a k-NN graph: three programs |
| ``small_groups`` | groups that have one Gram matrix |

A point that pairs or float32 do not settle is measured in float64 on the host.
"""
