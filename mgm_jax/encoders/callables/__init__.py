"""Encoders that nobody converted: anything that maps a batch of images to arrays.

===========  ======================================================================================
``wrapped``  ``wrap`` and what it gives: an encoder like any other, around a callable
``program``  functions and modules of JAX: Flax NNX, Flax Linen, Equinox, plain functions
``torch``    modules of PyTorch, their layers read by forward hooks
``identity`` who a callable is: digests of programs, weights and code
``given``    encoders that a program hands over, as values or by the name of a function
``pooling``  one row an image from rows, tokens and maps of any layout
===========  ======================================================================================
"""

from mgm_jax.encoders.callables.wrapped import CallableSpec, WrappedEncoder, wrap

__all__ = ["CallableSpec", "WrappedEncoder", "wrap"]
