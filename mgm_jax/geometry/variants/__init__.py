"""The geometry as the authors measured it later, beside ours and named as theirs.

arXiv 2210.17475 and the public code of the thesis behind it measure dimension and curvature of NNK
graphs in another way than our reconstruction of arXiv 2209.08622.

| file | what |
|---|---|
| ``neighbourhoods`` | principal components and extent of neighbourhoods, block by block |
| ``components`` | dimension as a count of principal components |
| ``angles`` | curvature as principal angles of neighbouring and of random component subspaces |
| ``multiscale`` | all of it again and again while close pairs are merged into their midpoints |
"""
