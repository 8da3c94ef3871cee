"""Conv4 as a sequence of sequences: block ``i`` is ``encoder.i``, its convolution 0, its norm 1.

So the ProtoTransfer code writes ProtoCLR encoders (Medina et al. 2020).
"""

from __future__ import annotations

from converters.naming.rules import COUNTERS, Naming, Rename

CONV4_SEQUENTIAL = Naming(
    name="conv4 of ProtoTransfer",
    family="conv4",
    signature=("encoder.0.0.weight", "encoder.3.1.running_var"),
    rules=(
        Rename(pattern=r"encoder\.([0-3])\.0\.(weight|bias)", target=r"blocks.\1.conv.\2"),
        Rename(
            pattern=r"encoder\.([0-3])\.1\.(weight|bias|running_mean|running_var)",
            target=r"blocks.\1.bn.\2",
        ),
        COUNTERS,
    ),
)
