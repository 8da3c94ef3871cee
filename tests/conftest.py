"""Fixtures that every room of the tests shares: real data, and the libraries to compare with."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.compile_cache import use_compile_cache

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# What these rooms promise of rounding is asked of programs as users run them: `make test` gives
# them a process of their own. Elsewhere XLA leaves out what optimises and takes its quickest
# emitters, which spares half of the compiling, but not in `make test-all`.
_OPTIMISED = {"knn", "hard", "compile_only"}
_ALL_OPTIMISED = bool(os.environ.get("MGM_TESTS_OPTIMISED"))

# Before JAX is imported anywhere. Workers have the environment of the process that started them.
use_compile_cache(
    quickly=not (_ALL_OPTIMISED or any(_OPTIMISED & set(Path(one).parts) for one in sys.argv))
)

# What may differ with the versions of Python and of the libraries, a piece of each room.
_CORE = (
    "files/test_whole.py",
    "test_study.py",
    "analysis/clusters/test_ward.py",
    "analysis/transfer/test_ridge.py",
    "embeddings/test_embed.py",
    "embeddings/test_store.py",
    "encoders/test_checkpoint.py",
    "encoders/test_untrained.py",
    "geometry/cloud/test_spectrum.py",
    "geometry/hard/test_properties.py",
    "geometry/knn/test_graph.py",
    "geometry/local/test_pca.py",
    "geometry/nnk/test_kernel.py",
    "images/test_loader.py",
    "metrics/test_panel.py",
    "probe/test_knn.py",
    "probe/test_ridge.py",
    "sweep/run/test_run.py",
    "zoo/test_without_torch.py",
)

# Files whose tests nearly all take long, most of it compiling: left out by `make test-fast`. Single
# tests of other files have the mark themselves; a second of one core is long.
_SLOW = (
    "test_compile_cache.py",
    "evidence/test_on_device.py",
    "docs/test_readme.py",
    "converters/verification/test_cifar_accuracy.py",
    "converters/naming/test_convnext.py",
    "converters/foreign/test_foreign.py",
    "converters/naming/test_grey.py",
    "converters/naming/test_live_networks.py",
    "converters/naming/test_mobilenet.py",
    "converters/test_published_study.py",
    "converters/verification/test_real_checkpoints.py",
    "converters/naming/test_resnet_layouts.py",
    "converters/naming/test_swin.py",
    "converters/naming/test_vit_families.py",
    "embeddings/test_kill.py",
    "encoders/networks/test_resnet.py",
    "encoders/networks/test_resnet_cifar.py",
    "encoders/test_control.py",
    "encoders/test_depth.py",
    "encoders/test_encoder.py",
    "evidence/test_variants_gain.py",
    "geometry/backend/test_workers.py",
    "geometry/hard/test_containers.py",
    "geometry/hard/test_hard_data.py",
    "geometry/knn/test_buckets.py",
    "geometry/knn/test_in_groups.py",
    "geometry/knn/test_in_small_groups.py",
    "geometry/knn/test_in_pairs.py",
    "geometry/local/test_left_out.py",
    "geometry/local/test_overlaps_in_cloud.py",
    "geometry/nnk/in_pairs/test_in_pairs.py",
    "geometry/nnk/test_graph.py",
    "geometry/nnk/test_solve.py",
    "geometry/test_numpy_and_jax_alone.py",
    "images/sources/test_tables.py",
    "metrics/test_manifold_invariance.py",
    "probe/test_read_probes.py",
    "report/test_browser.py",
    "sklearn/test_estimators.py",
    "sweep/bucket/test_bucket.py",
    "sweep/run/test_canvases.py",
    "sweep/run/test_comparison.py",
    "sweep/run/test_executors.py",
    "sweep/run/test_faults.py",
    "sweep/plan/test_images_in_memory.py",
    "sweep/run/test_streaming.py",
    "sweep/plan/test_target_values.py",
    "sweep/measures/test_transfer.py",
    "sweep/output/test_undefined.py",
    "training/test_recipes.py",
    "training/test_snapshot.py",
    "zoo_trainer/test_recipe.py",
    "../mgm_jax/training/monitor.py",
    "../mgm_jax/training/snapshot.py",
)

# A library takes its declarations back when it is collected.
_KEPT: list[Any] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Turn XLA's optimisations on or off, for this process and those that the test starts."""
    off = str(not (_ALL_OPTIMISED or _OPTIMISED & set(item.path.parts)))
    if os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == off:
        return
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = off
    import jax

    jax.config.update("jax_disable_most_optimizations", off == "True")
    # A program compiled the other way would give other bits than the process beside it.
    jax.clear_caches()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out of ``-m core`` what holds nothing of it, before it is imported."""
    of_tests = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if config.getoption("markexpr") != "core" or not of_tests:
        return None
    listed = collection_path.relative_to(Path(__file__).parent).as_posix() in _CORE
    return None if listed or "mark.core" in collection_path.read_text(encoding="utf-8") else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the lists name; what docstrings show is asked of the newest Python, too."""
    folder = Path(__file__).parent
    core, slow = ({(folder / name).resolve() for name in names} for names in (_CORE, _SLOW))
    if gone := [str(file) for file in core | slow if not file.exists()]:
        raise pytest.UsageError(f"tests/conftest.py: a list names what is not there: {gone}")
    for item in items:
        if item.path in slow:
            item.add_marker(pytest.mark.slow)
        nightly = item.get_closest_marker("nightly") is not None
        if not nightly and (item.path in core or isinstance(item, pytest.DoctestItem)):
            item.add_marker(pytest.mark.core)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and checkpoints beside the checkout; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real images and checkpoints in {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also where its compiled operators do not fit the PyTorch at hand.

    The networks need none of them, but the import registers shapes for them, so the missing ones
    are declared first.
    """
    torch = pytest.importorskip("torch")
    result = importlib.util.find_spec("torchvision")
    if result is None or not result.submodule_search_locations:
        pytest.skip("compares with torchvision, which is not installed")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        source = Path(result.submodule_search_locations[0], "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in sorted(set(re.findall(r'"torchvision::(\w+)"', source))):
        library.define(f"{operator}() -> ()")
    _KEPT.append(library)
    return importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, which imports torchvision."""
    return pytest.importorskip("timm")
