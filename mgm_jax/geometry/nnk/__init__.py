"""Non-negative kernel regression of points on their neighbours.

| file | what |
|---|---|
| ``graph`` | the public ``nnk_graph`` |
| ``among_others`` | the same of points on the rows of another cloud |
| ``candidates`` | how many candidates a point has, and which |
| ``neighbourhood`` | distances of candidates from Gram matrices; the regression on them |
| ``kernel`` | cosine and Gaussian |
| ``bandwidth`` | of the Gaussian: numbers, or a rule that finds them |
| ``solve`` | the exact solver of many small problems; ``pivot`` is its first, greedy pass |
| ``fallback`` | problems that the greedy pass leaves open |
| ``settle`` | batches of points through a program, some of them with the fallback |
| ``in_pairs`` | the same in pairs of float32, where float64 is slow |
| ``sweep_operator`` | the linear algebra of adding and removing one variable |
| ``gram_distances`` | squared distances from Gram matrices |
"""
