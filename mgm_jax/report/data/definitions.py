"""What every column of the tables means: words, axis, formula, range and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

STATUSES = {
    "P": "the property is stated by the paper (arXiv 2209.08622)",
    "R": "the formula is our reconstruction",
    "B": "standard in the literature, added beyond the paper",
    "–": "a check of the computation, not a property of the encoder",
}


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Meaning of one column.

    Attributes:
        name: column of the tables.
        label: words for headings and rows.
        axis: words with the unit, for an axis.
        formula: how it is computed, one line of plain text.
        reads: how to read small and large values.
        span: range of possible values.
        status: keys of ``STATUSES``, joined by a comma.
        reference: column of the level expected by chance, drawn beside this one.
        needs: what a point must have for a value; empty where every point has one.
    """

    name: str
    label: str
    axis: str
    formula: str
    reads: str
    span: str
    status: str
    reference: str | None = None
    needs: str = ""


_MANIFOLD = (
    Definition(
        name="nnk_degree",
        label="NNK degree",
        axis="NNK degree (neighbours)",
        formula="number of j with θᵢⱼ > 10⁻⁶ in the non-negative kernel regression of i",
        reads="more neighbours: higher intrinsic dimension",
        span="1 to k",
        status="P, R",
    ),
    Definition(
        name="relative_diameter",
        label="relative diameter",
        axis="relative diameter (ratio)",
        formula="NNK diameter / root-mean-square distance of two images, on the unit sphere",
        reads="small: invariant to the views; 1: views as far apart as two different images",
        span="0 upwards",
        status="B",
        needs="two neighbours",
    ),
    Definition(
        name="nnk_diameter",
        label="NNK diameter",
        axis="NNK diameter (distance)",
        formula="max over j, l in N(i) of ‖xⱼ − xₗ‖ on the unit sphere",
        reads="small: invariant; large: equivariant",
        span="0 to 2",
        status="P, R",
        needs="two neighbours",
    ),
    Definition(
        name="nnk_radius",
        label="NNK radius",
        axis="NNK radius (distance)",
        formula="max over j in N(i) of ‖xⱼ − xᵢ‖ on the unit sphere",
        reads="a second reading of the diameter",
        span="0 to 2",
        status="R",
    ),
    Definition(
        name="nnk_affinity_excess",
        label="affinity excess",
        axis="affinity excess (0 = chance)",
        formula="(aff² − e) / (1 − e), with e = max(dᵢ, dⱼ) / D the chance level of aff²",
        reads="1: flat; 0: as random subspaces of the same dimension and width",
        span="up to 1",
        status="B",
        needs="three different points in its group",
    ),
    Definition(
        name="nnk_affinity",
        label="NNK affinity",
        axis="NNK affinity (0 to 1)",
        formula="mean over j in N(i) of ‖Uᵢᵀ Uⱼ‖_F / √min(dᵢ, dⱼ)",
        reads="1: flat; towards chance: curved",
        span="0 to 1",
        status="P, R",
        reference="nnk_affinity_null",
        needs="three different points in its group",
    ),
    Definition(
        name="nnk_affinity_null",
        label="affinity of all pairs",
        axis="affinity of all pairs (0 to 1)",
        formula="NNK affinity with j all of the group (above 256 points, eight at random)",
        reads="the affinity that carries no neighbourhood",
        span="0 to 1",
        status="B",
    ),
    Definition(
        name="pca_dimension",
        label="local PCA dimension",
        axis="local PCA dimension",
        formula="components that explain 95 % of the variance of the k nearest neighbours",
        reads="larger: higher intrinsic dimension",
        span="1 to k − 1",
        status="B",
    ),
    Definition(
        name="pca_participation_ratio",
        label="participation ratio",
        axis="participation ratio",
        formula="(Σ λ)² / Σ λ² of the same spectrum",
        reads="larger: variance spread over more directions",
        span="1 to k − 1",
        status="B",
    ),
    Definition(
        name="knn_distance",
        label="neighbour distance",
        axis="neighbour distance",
        formula="‖xᵢ − x of its nearest neighbour in the group‖ on the unit sphere",
        reads="small: densely filled manifold",
        span="0 to 2",
        status="B",
    ),
)

_MODEL = (
    Definition(
        name="rankme",
        label="RankMe",
        axis="RankMe (dimensions)",
        formula="exp of the entropy of the normalised singular values of the embeddings",
        reads="effective rank; compares runs of one method only",
        span="1 to d",
        status="B",
    ),
    Definition(
        name="alpha_req",
        label="α-ReQ",
        axis="α-ReQ (exponent)",
        formula="decay exponent of the covariance spectrum, λᵣ ∝ r^(−α)",
        reads="large: few directions carry the variance",
        span="0 upwards",
        status="B",
    ),
    Definition(
        name="nesum",
        label="NESum",
        axis="NESum (dimensions)",
        formula="Σ λᵣ / λ₁ of the covariance spectrum",
        reads="large: whitened; 1: one direction carries everything",
        span="1 to d",
        status="B",
    ),
    Definition(
        name="uniformity",
        label="uniformity",
        axis="uniformity (log)",
        formula="log of the mean of exp(−2 ‖x − y‖²) over pairs of images",
        reads="more negative: spread more evenly on the sphere",
        span="−8 to 0",
        status="B",
    ),
    Definition(
        name="mean_cosine",
        label="mean cosine",
        axis="mean cosine",
        formula="mean of cos(x, y) over pairs of different images",
        reads="near 1: collapsed to one direction",
        span="−1 to 1",
        status="B",
    ),
    Definition(
        name="typical_distance",
        label="typical distance",
        axis="typical distance",
        formula="median distance to the 10th nearest other image, on the unit sphere",
        reads="small: images lie close; falls as images are added",
        span="0 to 2",
        status="B",
    ),
    Definition(
        name="knn_accuracy",
        label="k-NN accuracy",
        axis="k-NN accuracy (share)",
        formula="share of images whose 10 nearest other images vote for their class",
        reads="larger: classes lie closer together",
        span="0 to 1",
        status="B",
    ),
)

_VIEWS = (
    Definition(
        name="lidar",
        label="LiDAR",
        axis="LiDAR (dimensions)",
        formula="exp of the entropy of the eigenvalues of W^(−1/2) B W^(−1/2): B between images, "
        "W within the views of one, plus 10⁻⁴",
        reads="effective rank of what tells images apart from their views",
        span="1 to min(images − 1, d)",
        status="B",
    ),
    Definition(
        name="alignment",
        label="alignment",
        axis="alignment (squared distance)",
        formula="mean of ‖u − v‖² over pairs of views of one image, on the unit sphere",
        reads="small: invariant to the views",
        span="0 to 4",
        status="B",
    ),
    Definition(
        name="whitened_invariance",
        label="whitened invariance",
        axis="whitened invariance (cosine)",
        formula="mean cosine of two views of one image, whitened by the un-augmented images "
        "(covariance shrunk by OAS)",
        reads="1: invariant; 0: views of one image as far apart as those of two",
        span="−1 to 1",
        status="B, R",
    ),
)

_CHECKS = (
    Definition(
        name="k_effective",
        label="effective k",
        axis="effective k",
        formula="candidates that a point had: k, or group size − 1",
        reads="the ceiling of the NNK degree",
        span="1 to k",
        status="–",
    ),
    Definition(
        name="saturated",
        label="saturated",
        axis="saturated (share)",
        formula="share of points whose NNK degree equals the effective k",
        reads="above a few percent: take a larger k",
        span="0 to 1",
        status="–",
    ),
    Definition(
        name="duplicates",
        label="duplicates",
        axis="duplicates (share)",
        formula="share of a point's candidates that repeat another one exactly",
        reads="above 0: the images or the encoder repeat themselves",
        span="0 to 1",
        status="–",
    ),
    Definition(
        name="degenerate",
        label="degenerate",
        axis="degenerate (share)",
        formula="share of points for which some metric is undefined",
        reads="above 0: these points are left out of its means",
        span="0 to 1",
        status="–",
    ),
    Definition(
        name="nnk_residual",
        label="NNK residual",
        axis="NNK residual",
        formula="Kᵢᵢ − 2 θᵀk + θᵀKθ",
        reads="0: the neighbours represent the point exactly",
        span="0 to 1",
        status="–",
    ),
    Definition(
        name="nnk_kkt",
        label="KKT violation",
        axis="KKT violation",
        formula="largest violation of the optimality conditions, measured in float64",
        reads="at most 10⁻⁵: the solution is exact",
        span="0 upwards",
        status="–",
    ),
)

DEFINITIONS: dict[str, Definition] = {
    definition.name: definition for definition in (*_MANIFOLD, *_MODEL, *_VIEWS, *_CHECKS)
}

# In the order in which figures offer them.
KEY_METRICS = (
    "nnk_degree",
    "relative_diameter",
    "nnk_diameter",
    "nnk_affinity_excess",
    "nnk_affinity",
    "pca_dimension",
    "knn_distance",
)
PANEL_METRICS = tuple(definition.name for definition in _MODEL)
CHECK_METRICS = tuple(definition.name for definition in _CHECKS)


def define(name: str) -> Definition:
    """The definition of a column; a plain one, made from its name, where none is written.

    >>> define("nnk_degree").axis
    'NNK degree (neighbours)'
    >>> define("my_metric").label
    'my metric'
    """
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    label = name.replace("_", " ")
    return Definition(
        name=name,
        label=label,
        axis=label,
        formula="not described in this report",
        reads="",
        span="",
        status="–",
    )
