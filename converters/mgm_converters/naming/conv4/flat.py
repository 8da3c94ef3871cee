"""Conv4 as one flat sequence: four modules a block, so block ``i`` starts at number ``4 i``.

The four are convolution, BatchNorm, ReLU and pool; the first two hold weights. So the C3LR code
writes its encoders (Shirekar et al. 2022).
"""

from __future__ import annotations

from mgm_converters.naming.rules import COUNTERS, Naming
from mgm_converters.naming.units import unit

CONV4_FLAT = Naming(
    name="conv4 of C3LR",
    family="conv4",
    signature=("encoder.encoder.0.weight", "encoder.encoder.13.running_var"),
    rules=(
        *(
            rule
            for i in range(4)
            for rule in unit(
                rf"encoder\.encoder\.{4 * i}",
                rf"encoder\.encoder\.{4 * i + 1}",
                to_conv=f"blocks.{i}.conv",
                to_norm=f"blocks.{i}.bn",
                bias=True,
            )
        ),
        COUNTERS,
    ),
)
