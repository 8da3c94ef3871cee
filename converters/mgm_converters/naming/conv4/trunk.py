"""Conv4 with every tensor stored twice: as ``C`` and ``BN``, and once more in an inner ``trunk``.

So "A Closer Look at Few-shot Classification" writes its backbones (Chen et al. 2019): a block keeps
its modules by name and again in the list that it runs.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Copy, Naming
from mgm_converters.naming.units import unit

CONV4_TRUNK = Naming(
    name="conv4 of A Closer Look at Few-shot Classification",
    family="conv4",
    signature=("feature.trunk.0.C.weight", "feature.trunk.3.BN.running_var"),
    rules=(
        *unit(
            r"feature\.trunk\.([0-3])\.C",
            r"feature\.trunk\.([0-3])\.BN",
            to_conv=r"blocks.\1.conv",
            to_norm=r"blocks.\1.bn",
            bias=True,
        ),
        Copy(
            pattern=r"feature\.trunk\.([0-3])\.trunk\.0\.(weight|bias)",
            original=r"feature.trunk.\1.C.\2",
            optional=True,
        ),
        Copy(
            pattern=r"feature\.trunk\.([0-3])\.trunk\.1\.(weight|bias|running_mean|running_var)",
            original=r"feature.trunk.\1.BN.\2",
            optional=True,
        ),
        COUNTERS,
        *HEADS,
    ),
)
