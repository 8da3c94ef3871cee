"""What depends on the machine, and changes how fast a result comes, not which.

| file | what |
|---|---|
| ``precision`` | float64 for single steps; the type in which all pairs are scanned |
| ``pairs`` | numbers of some 48 bits as two float32, where float64 is emulated |
| ``exact_products`` | Gram matrices in pairs, by matrix units |
| ``wide`` | whether a device computes wide numbers in float64 or in pairs: the one place |
| ``workers`` | calls on a few threads of the host, results in order |
| ``cores`` | threads on cores of their own for the time of a few calls |
| ``packed_symmetric`` | symmetric matrices as rectangles of half as many numbers, on a CPU |
| ``triangular`` | inverses of many small triangular matrices, on a CPU |
| ``row_products`` | inner products of all rows of small matrices, on a CPU |
| ``row_sums`` | sums of rows that a CPU adds fast |
"""
