"""Parts that a file holds beside its encoder: classifiers, projections, decoders, queues."""

from __future__ import annotations

from mgm_converters.naming.rules import Drop

_LINEAR_HEADS = r"_?fc|head|heads|head_dist|head_jig|jigsaw|classifier|linear|last_linear"
_PROJECTIONS = (
    r"(?:\w+_)?projection_head(?:_\w+)?|(?:\w+_)?prediction_head(?:_\w+)?|(?:momentum_)?projector\w*"
    r"|(?:momentum_)?predictor\w*|prototypes\w*|projection|proj_head|pooler|dino_head|ibot_head"
    r"|(?:student|teacher)_head|neck|momentum_classifier|online_classifier"
)
_DECODERS = r"decoder\w*|mask_token|masked_embed"
_QUEUES = r"queue\w*"

# Inside the encoder's own prefix these names stand at the top: fc.weight, head.mlp.0.bias, ...
HEADS = (
    Drop(pattern=rf"(?:{_LINEAR_HEADS})(?:\..*)?", reason="a head, not the encoder"),
    Drop(pattern=rf"(?:{_PROJECTIONS})(?:\..*)?", reason="a projection head, not the encoder"),
    Drop(pattern=rf"(?:{_DECODERS})(?:\..*)?", reason="the decoder of a masked autoencoder"),
    Drop(pattern=rf"(?:{_QUEUES})(?:\..*)?", reason="a queue of negatives, not a weight"),
)

# Of a pair of towers the names of the one that reads text.
_TEXT = Drop(pattern=r"text_model\..*|logit_scale|logit_bias", reason="the text tower")

# Outside it they may stand behind any prefix: module.queue, module.predictor.0.weight, ...
OUTSIDE = tuple(
    Drop(pattern=rf"(?:.*\.)?(?:{rule.pattern})", reason=rule.reason) for rule in (*HEADS, _TEXT)
)
