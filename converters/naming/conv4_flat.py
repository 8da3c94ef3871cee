"""Conv4 as one flat sequence: four modules a block, so block ``i`` starts at number ``4 i``.

The four are convolution, BatchNorm, ReLU and pool; the first two hold weights. So the C3LR code
writes its encoders (Shirekar et al. 2022).
"""

from __future__ import annotations

from converters.naming.rules import COUNTERS, Naming, Rename


def _block(i: int) -> tuple[Rename, Rename]:
    return (
        Rename(
            pattern=rf"encoder\.encoder\.{4 * i}\.(weight|bias)",
            target=rf"blocks.{i}.conv.\1",
        ),
        Rename(
            pattern=rf"encoder\.encoder\.{4 * i + 1}\.(weight|bias|running_mean|running_var)",
            target=rf"blocks.{i}.bn.\1",
        ),
    )


CONV4_FLAT = Naming(
    name="conv4 of C3LR",
    family="conv4",
    signature=("encoder.encoder.0.weight", "encoder.encoder.13.running_var"),
    rules=(*_block(0), *_block(1), *_block(2), *_block(3), COUNTERS),
)
