"""Conv4 as a sequence of sequences: block ``i`` is ``encoder.i``, its convolution 0, its norm 1.

So the ProtoTransfer code writes ProtoCLR encoders (Medina et al. 2020).
"""

from __future__ import annotations

from mgm_converters.naming.rules import COUNTERS, Naming
from mgm_converters.naming.units import unit

CONV4_SEQUENTIAL = Naming(
    name="conv4 of ProtoTransfer",
    family="conv4",
    signature=("encoder.0.0.weight", "encoder.3.1.running_var"),
    rules=(
        *unit(
            r"encoder\.([0-3])\.0",
            r"encoder\.([0-3])\.1",
            to_conv=r"blocks.\1.conv",
            to_norm=r"blocks.\1.bn",
            bias=True,
        ),
        COUNTERS,
    ),
)
