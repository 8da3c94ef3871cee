"""Estimators for scikit-learn's pipelines: graphs as transformers, dimensions with ``fit``.

| estimator | after ``fit`` |
|---|---|
| ``NNKGraph`` | ``transform`` gives the sparse matrix of NNK weights on the fitted points |
| ``KNNGraph`` | ``transform`` gives the sparse matrix of distances to the nearest of them |
| ``TwoNN``, ``LevinaBickel``, ``Gride`` | ``dimension_``, with ``low_`` and ``high_`` |

They are thin: ``mgm.nnk_graph``, ``mgm.knn_graph`` and ``mgm.intrinsic_dimension`` say more.
"""

from mgm_jax.sklearn.dimension import Gride, LevinaBickel, TwoNN
from mgm_jax.sklearn.graphs import KNNGraph, NNKGraph

__all__ = ["Gride", "KNNGraph", "LevinaBickel", "NNKGraph", "TwoNN"]
