"""From published PyTorch checkpoints to encoders; the only place that knows torch.

The way of a checkpoint::

    source --reading--> names to arrays --naming--> canonical state --recognition--> Encoder
    (file, folder,      (nothing is        (each name by           (spec, input,      |
     hub, catalogue)     executed)          exactly one rule)       method)    verification
                                                                                (PyTorch, every tap)

The rooms, in the order in which a file passes through them:

``reading/``       a source to a file, a file to tensors: :mod:`~.reading.files.source` finds it,
                   :mod:`~.reading.read` reads it without executing anything in it,
                   :mod:`~.reading.files.kinds`, :mod:`~.reading.partitioned`
                   and :mod:`~.reading.limits` name what is refused, :mod:`~.reading.unwrap` and
                   :mod:`~.reading.wrappers` take off what was wrapped around the weights
``naming/``        the published spellings, one file each (``resnet/``, ``vit/``, ``conv4/``), as
                   anchored rules to canonical names
``recognition/``   what the tensors are; see there for which question each file answers
``verification/``  the same networks in PyTorch, and the comparison with them at every tap
``foreign/``       another way: models that stay in timm, transformers or ONNX Runtime

:mod:`~.convert` is all of these in a row, :mod:`~.report` what became of every tensor,
:mod:`~.listing` the tables of the documentation.
"""

from __future__ import annotations

from mgm_converters.convert import CONVERTER_VERSION, Conversion, convert
from mgm_converters.report import ConversionError, Report

__all__ = ["CONVERTER_VERSION", "Conversion", "ConversionError", "Report", "convert"]
