"""The columns of a per-point record: what each means and which values it takes."""

from __future__ import annotations

METRIC_COLUMNS: dict[str, str] = {
    "nnk_degree": "Number of NNK neighbours; ranks intrinsic dimension. 1 to k.",
    "nnk_diameter": (
        "Largest distance between two NNK neighbours; small is invariant, large is equivariant. "
        "0 to 2 on the unit sphere; NaN with fewer than two neighbours."
    ),
    "relative_diameter": (
        "Diameter over the root-mean-square distance of two different images of the same encoder: "
        "1 is as far apart as two images are. 0 up; NaN with fewer than two neighbours."
    ),
    "nnk_radius": "Largest distance to an NNK neighbour. 0 to 2 on the unit sphere.",
    "nnk_affinity": (
        "Mean affinity of the polytope with those of its neighbours; 1 is flat, lower is curved. "
        "0 to 1; NaN in a group of two."
    ),
    "nnk_affinity_excess": (
        "Squared affinity above what random subspaces of the same dimensions have, relative to "
        "the most it could be. 0 at chance, at most 1."
    ),
    "nnk_affinity_null": (
        "Mean affinity with all other points of the group (eight random ones where it is larger "
        "than 256), for comparison with nnk_affinity. 0 to 1."
    ),
    "pca_dimension": "Principal components that explain the threshold of local variance. 0 to k.",
    "pca_participation_ratio": (
        "Squared sum over sum of squares of the local eigenvalues: components that share the "
        "variance. 0 to k."
    ),
    "knn_distance": "Distance to the nearest candidate. 0 to 2 on the unit sphere.",
    "nnk_residual": (
        "Squared distance, in kernel space, from the point to what its neighbours reproduce of "
        "it. 0 to 1."
    ),
    "nnk_kkt": "Largest violation of the optimality conditions of the NNK weights. 0 is exact.",
    "k_effective": "Candidates the point had: k, or the size of its group less 1.",
    "saturated": "Whether every candidate is a neighbour, so that k limits the degree. 0 or 1.",
    "duplicates": "Share of candidates equal to the point or to an earlier candidate. 0 to 1.",
    "degenerate": "Whether a metric of the point is undefined (NaN). 0 or 1.",
}
"""Name of every column to its one-line meaning with range, in the order of tables."""

INTEGER_COLUMNS = ("nnk_degree", "pca_dimension", "k_effective")
FLAG_COLUMNS = ("saturated", "degenerate")
