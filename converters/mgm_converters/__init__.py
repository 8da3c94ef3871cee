"""From published PyTorch checkpoints to encoders; the only place that knows torch.

=======================  =========================================================================
:mod:`source`            the file that a user means: a path, a folder, a hub, a published encoder
:mod:`download`          a file over HTTP, resumable and checked
:mod:`config`            the settings that Hugging Face and timm write beside their weights
:mod:`read`              the file, without executing anything in it; pickles that PyTorch did not
                         write through :mod:`restricted_pickle`, :mod:`haiku_pickle`,
                         :mod:`torchscript`
:mod:`safetensors_file`  a safetensors file, without PyTorch
:mod:`stated`            what such a file states of its encoder
:mod:`arrays`            tensors of either kind as arrays
:mod:`unwrap`            down to the one table of named tensors
:mod:`recognise`         which published spelling its names are in, behind which prefix
:mod:`naming`            the spellings, one file each, as anchored rules to canonical names
:mod:`architecture`      the spec, from the shapes of the canonical weights
:mod:`identify`          the method of training, from what the file shows
:mod:`provenance`        input and kind of training where no method is known
:mod:`decide`            spec, method and input from all of these
:mod:`classifier`        the linear classifier beside the encoder, where it is wanted
:mod:`reference`         the same networks in PyTorch
:mod:`verify`            the comparison with them, at every tap
:mod:`report`            what became of every tensor
:mod:`convert`           all of these in a row
=======================  =========================================================================
"""

from __future__ import annotations

from mgm_converters.convert import CONVERTER_VERSION, Conversion, convert
from mgm_converters.report import ConversionError, Report

__all__ = ["CONVERTER_VERSION", "Conversion", "ConversionError", "Report", "convert"]
