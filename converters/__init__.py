"""From published PyTorch checkpoints to encoders; the only place that knows torch.

===================  =============================================================================
:mod:`read`          the file, without executing anything in it
:mod:`unwrap`        down to the one table of named tensors
:mod:`recognise`     which published spelling its names are in, behind which prefix
:mod:`naming`        the spellings, one file each, as anchored rules to canonical names
:mod:`architecture`  the spec, from the shapes of the canonical weights
:mod:`provenance`    the input it was trained on and the kind of training, guessed
:mod:`reference`     the same networks in PyTorch
:mod:`verify`        the comparison with them, at every tap
:mod:`report`        what became of every tensor
:mod:`convert`       all of these in a row
===================  =============================================================================
"""

from __future__ import annotations

from converters.convert import CONVERTER_VERSION, Conversion, convert
from converters.report import ConversionError, Report

__all__ = ["CONVERTER_VERSION", "Conversion", "ConversionError", "Report", "convert"]
