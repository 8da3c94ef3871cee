"""The geometry and its metrics run where nothing is installed but JAX and what JAX needs."""

from __future__ import annotations

import subprocess
import sys

_ALONE = """
import importlib.abc, sys, warnings

# JAX looks whether a debugger is there, which it can do without.
known = {"jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "opt_einsum", "mgm_jax", "web_pdb"}
refused = set()

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        if top in known or top in sys.stdlib_module_names or top.startswith("_"):
            return None
        refused.add(top)
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
import numpy as np
from mgm_jax import knn_graph, local_pca, manifold_metrics, nnk_graph
from mgm_jax.geometry.cloud.intrinsic_dimension import levina_bickel, two_nn
from mgm_jax.geometry.cloud.moments import moments_of
from mgm_jax.geometry.cloud.spectrum import spectrum
from mgm_jax.geometry.cloud.uniformity import uniformity
from mgm_jax.geometry.cloud.views import alignment, lidar, pair_distance
from mgm_jax.geometry.cloud.whitening import whitened_invariance
from mgm_jax.metrics import panel

x, groups = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32), np.arange(48) // 12
assert knn_graph(x, k=5).indices.shape == (48, 5)
assert nnk_graph(x, k=5).weights.shape == (48, 5)
assert local_pca(x, k=5).dimension.shape == (48,)
assert two_nn(x).valid.all() and levina_bickel(x, k=5).valid.all()
assert manifold_metrics(x, groups=groups).nnk_degree.min() >= 1
assert panel(x).rankme > 1 and spectrum(x).nesum > 1 and uniformity(x) < 0
assert alignment(x, groups) > 0 and lidar(x, groups) > 0 and pair_distance(x) > 0
assert whitened_invariance(x, groups, reference=moments_of(x)) < 1
loaded = {name.partition(".")[0] for name in sys.modules} & {"pandas", "sklearn", "torch", "flax"}
assert not loaded, loaded
"""


def test_the_geometry_runs_with_numpy_and_jax_alone() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _ALONE], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr[-3000:]
