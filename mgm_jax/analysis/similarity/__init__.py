"""How alike models see the same images.

| file | what |
|---|---|
| ``models`` | what users call, and what they get |
| ``coordinates`` | centred points of a model, and sums of products of two |
| ``cka`` | debiased centred kernel alignment with its jackknife |
| ``rsa`` | rank correlation of the distances of pairs of images |
| ``subspaces`` | Procrustes, SVCCA, PWCCA and GULP, from second moments |
"""
