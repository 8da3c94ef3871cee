"""Measures of a whole cloud.

| file | what |
|---|---|
| ``moments`` | count, mean and scatter of points that come in chunks |
| ``grouped_moments`` | the same within and between groups, such as views of images |
| ``spectrum`` | RankMe, alpha-ReQ, NESum; ``effective_rank`` has their formulas |
| ``views`` | LiDAR, alignment, mean cosine, the distance of two images |
| ``whitening`` | whitened features, and how invariant they are |
| ``uniformity`` | the Gaussian potential of all pairs |
| ``intrinsic_dimension`` | TwoNN and Levina-Bickel, from distances to neighbours |
| ``gride`` | dimension against scale, from ratios of farther neighbours |
| ``spanning_trees`` | dimension from lengths of minimum spanning trees |
| ``shared_neighbours`` | the error of means over points whose neighbourhoods overlap |
| ``dimensions`` | all of these estimators side by side, with intervals |
"""
