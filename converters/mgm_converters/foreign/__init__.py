"""Models that stay in the library that runs them: timm, transformers, ONNX Runtime.

================  =================================================================================
``open``          from a source of a study, ``torch:timm/NAME`` and the like, to an encoder
``request``       what is said of a model, whatever runs it
``timm_model``    models of timm
``hf_model``      models of transformers
``onnx_graph``    a graph in a file, and what it does with its input itself
``onnx_random``   the same graph before its first training step
================  =================================================================================
"""

from mgm_converters.foreign.open import open_model

__all__ = ["open_model"]
