"""The method that a training says in its settings, in the words of its library.

solo-learn, SupContrast, lightly's benchmarks and others keep the name of the method among the
hyper-parameters beside the weights. The words differ; the table says which method each is, and the
kind of training where the method has no published encoder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mgm_converters.recognition.evidence.file import FileStatement

# Word (lower case, letters and digits alone) to the method's name and the kind of training.
TRAINING_WORDS: Mapping[str, tuple[str, str]] = {
    "barlowtwins": ("Barlow Twins", "non-contrastive"),
    "byol": ("BYOL", "non-contrastive"),
    "deepclusterv2": ("DeepCluster-v2", "clustering"),
    "dino": ("DINO", "non-contrastive"),
    "mae": ("MAE", "masked"),
    "mocov2": ("MoCo-v2", "contrastive"),
    "mocov2plus": ("MoCo-v2", "contrastive"),
    "mocov3": ("MoCo-v3", "contrastive"),
    "nnbyol": ("NNBYOL", "non-contrastive"),
    "nnclr": ("NNCLR", "contrastive"),
    "nnsiam": ("NNSiam", "non-contrastive"),
    "ressl": ("ReSSL", "contrastive"),
    "simclr": ("SimCLR", "contrastive"),
    "simsiam": ("SimSiam", "non-contrastive"),
    "supcon": ("SupCon", "supervised"),
    "supsimclr": ("SupCon", "supervised"),
    "swav": ("SwAV", "clustering"),
    "vibcreg": ("VIbCReg", "non-contrastive"),
    "vicreg": ("VICReg", "non-contrastive"),
    "vicregl": ("VICRegL", "non-contrastive"),
    "wmse": ("W-MSE", "non-contrastive"),
    "allforone": ("All4One", "contrastive"),
    "all4one": ("All4One", "contrastive"),
    "dcl": ("DCL", "contrastive"),
    "dclw": ("DCLW", "contrastive"),
    "tico": ("TiCo", "non-contrastive"),
    "fastsiam": ("FastSiam", "non-contrastive"),
    "smog": ("SMoG", "clustering"),
    "densecl": ("DenseCL", "contrastive"),
    "cae": ("CAE", "masked"),
    "simmim": ("SimMIM", "masked"),
    "moby": ("MoBY", "non-contrastive"),
    "esvit": ("EsViT", "non-contrastive"),
    "rotationpred": ("Rotation prediction", "pretext"),
    "rotnet": ("Rotation prediction", "pretext"),
    "relativeloc": ("Relative location", "pretext"),
    "odc": ("ODC", "clustering"),
    "npid": ("InsDis", "contrastive"),
    "crossentropy": ("", "supervised"),
    "supce": ("", "supervised"),
    "linear": ("", ""),
}
_KEYS = ("method", "method_name", "ssl_method", "algorithm", "algo")


def statement_of_training(facts: Mapping[str, Any]) -> FileStatement:
    """What the settings beside the weights say of the training; blank where they do not.

    >>> statement_of_training({"hyper_parameters.method": "mocov2plus"}).method
    'MoCo-v2'
    """
    for name, value in facts.items():
        # Nested settings name the method itself: method.name.
        last = name.removesuffix(".name").rpartition(".")[2]
        if last in _KEYS and isinstance(value, str):
            method, paradigm = TRAINING_WORDS.get(word(value), ("", ""))
            if method or paradigm:
                return FileStatement(method=method, paradigm=paradigm)
    return FileStatement()


def word(text: str) -> str:
    """A name as the table has it: lower case, letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
