"""The ranking of candidates where float64 is slow: in pieces and pairs of float32.

| file | what |
|---|---|
| ``rank`` | candidates in the order of their distances, and which rows that leaves open |
| ``pieces`` | squared distances in pieces of float32, exact but for the last |
| ``kernel`` | the same as a Pallas kernel of TPUs |
"""
