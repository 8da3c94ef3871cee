"""Encoder: a trained or untrained network with its preprocessing, as one callable value."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mgm_jax.encoders.any_encoder import AnyEncoder
from mgm_jax.encoders.canonical import Params, to_params
from mgm_jax.encoders.forward import Precision, forward, forward_on_cpu, round_params
from mgm_jax.encoders.spec import EncoderSpec, Preprocess, ViTSpec
from mgm_jax.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Encoder(AnyEncoder):
    """Images to features, read at any named layer. Make one with :func:`mgm_jax.load_encoder`.

    Attributes:
        name: what tables and figures call it.
        spec: architecture.
        params: weights of the Flax module, float32.
        preprocess: how images become its input.
        meta: facts about the origin: source, sha256, paradigm, converter version, ...
        dtype: precision of the computation, ``float32`` or ``bfloat16``; features are float32.

    Example:
        >>> import numpy as np
        >>> from mgm_jax.encoders import load_encoder
        >>> encoder = load_encoder("conv4:seed=1")
        >>> encoder(np.zeros((2, 100, 120, 3), np.uint8)).shape
        (2, 1600)
    """

    name: str
    spec: EncoderSpec
    params: Params
    preprocess: Preprocess
    meta: Mapping[str, Any] = field(default_factory=dict)
    dtype: Precision = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in get_args(Precision):
            raise InputError(f"dtype: expected float32 or bfloat16, got {self.dtype!r}")
        if len(self.preprocess.mean) != self.spec.image_channels:
            raise InputError(
                f"encoder {self.name}: the network takes {self.spec.image_channels} channels, the "
                f"preprocessing has {len(self.preprocess.mean)} means; give it one a channel"
            )
        if isinstance(self.spec, ViTSpec):
            if self.preprocess.size % self.spec.patch:
                raise InputError(
                    f"encoder {self.name}: the preprocessing gives {self.preprocess.size} pixels; "
                    f"expected a multiple of the patch of {self.spec.patch} pixels"
                )
        elif self.preprocess.size != self.spec.image_size:
            raise InputError(
                f"encoder {self.name}: the network takes {self.spec.image_size} pixels, the "
                f"preprocessing gives {self.preprocess.size}; make Preprocess.size equal to "
                "EncoderSpec.image_size"
            )
        # On the device once, not once a call; `asarray` would compile a program for every shape.
        object.__setattr__(self, "params", jax.device_put(self.params, may_alias=False))

    @staticmethod
    def from_state(
        state: Mapping[str, np.ndarray],
        *,
        name: str,
        spec: EncoderSpec,
        preprocess: Preprocess,
        meta: Mapping[str, Any] | None = None,
    ) -> Encoder:
        """An encoder from a canonical state (see :mod:`mgm_jax.encoders.canonical`).

        Raises:
            InputError: listing every weight that does not fit ``spec``.
        """
        params = to_params(spec, state)
        return Encoder(name=name, spec=spec, params=params, preprocess=preprocess, meta=meta or {})

    def __repr__(self) -> str:
        return (
            f"Encoder({self.name}: {self.spec.family}, {self.preprocess.size} px, "
            f"{self.width()}-d at {self.default_tap}, {self.dtype})"
        )

    def with_dtype(self, dtype: Precision) -> Encoder:
        """The same weights, computed in another precision."""
        return replace(self, dtype=dtype)

    @cached_property
    def weights_sha256(self) -> str:
        """Digest of the names, shapes and values of all weights."""
        return digest_params(self.params)

    def _facts(self) -> dict[str, Any]:
        return {
            "spec": self.spec.to_dict(),
            "preprocess": self.preprocess.to_dict(),
            "weights": self.weights_sha256,
            "dtype": self.dtype,
        }

    def features(
        self, views: np.ndarray | jax.Array, *, taps: Iterable[str] | None = None
    ) -> dict[str, jax.Array]:
        """Pooled features of prepared views at several taps, from one forward pass.

        Pure in its arguments: it may be called inside ``jax.jit``, and all encoders of one spec
        share one compilation.

        Args:
            views: float ``[b, s, s, 3]`` (or one channel, for an encoder of grey images) in
                [0, 1], s = ``preprocess.size``; mean and deviation
                are applied here. A vision transformer takes ``[b, h, w, 3]`` of any size that
                its patch divides.
            taps: layers to read; the default tap where None.

        Returns:
            By tap, float32 ``[b, d]``.

        Raises:
            InputError: another shape or type, unknown taps.
        """
        return self._read(views, taps, pooled=True)

    def activations(
        self, views: np.ndarray | jax.Array, *, taps: Iterable[str] | None = None
    ) -> dict[str, jax.Array]:
        """As :meth:`features`, not pooled: maps ``[b, h, w, c]`` and tokens ``[b, t, d]``."""
        return self._read(views, taps, pooled=False)

    def _read(
        self, views: np.ndarray | jax.Array, taps: Iterable[str] | None, *, pooled: bool
    ) -> dict[str, jax.Array]:
        if not self._takes(views.shape):
            side, channels = self.preprocess.size, self._channels[0]
            also = ""
            if isinstance(self.spec, ViTSpec):
                also = f" or other multiples of {self.spec.patch} pixels"
            raise InputError(
                f"views: encoder {self.name} expects [b, {side}, {side}, {channels}]{also}, "
                f"got {views.shape}; images of other sizes go through encoder(images)"
            )
        if not jnp.issubdtype(views.dtype, jnp.floating):
            raise InputError(
                f"views: expected float values in [0, 1], got {views.dtype}; uint8 images go "
                "through encoder(images)"
            )
        wanted = (taps,) if isinstance(taps, str) else tuple(taps or (self.default_tap,))
        return self._forward(views)(
            self._rounded,
            jnp.asarray(views),
            jnp.asarray(self.preprocess.mean, jnp.float32),
            jnp.asarray(self.preprocess.std, jnp.float32),
            spec=self.spec,
            taps=self.spec.check_taps(wanted),
            dtype=self.dtype,
            pooled=pooled,
        )

    @cached_property
    def _rounded(self) -> Params:
        """``params`` in the precision of the computation, so that no call rounds them again."""
        if self.dtype == "float32" or _any_traced(self.params):
            return self.params
        # Whatever is traced around this call, they are kept as arrays.
        with jax.ensure_compile_time_eval():
            return round_params(self.params, dtype=self.dtype)

    def _forward(self, views: np.ndarray | jax.Array) -> Callable[..., dict[str, jax.Array]]:
        """A program for CPUs where they are what runs it, and it alone; else one for all."""
        if _any_traced((views, self.params)):
            return forward
        devices = {device for leaf in jax.tree.leaves(self.params) for device in leaf.devices()}
        return forward_on_cpu if {d.platform for d in devices} == {"cpu"} else forward

    @property
    def _channels(self) -> tuple[int, ...]:
        return (self.spec.image_channels, 3)

    def _batches(self, images: np.ndarray | jax.Array, size: int) -> Iterator[jax.Array]:
        """Batches of one size; the last is filled up with zeros, so that one shape compiles."""
        for batch in super()._batches(images, size):
            yield jnp.pad(batch, ((0, size - len(batch)), (0, 0), (0, 0), (0, 0)))

    def _takes(self, shape: tuple[int, ...]) -> bool:
        """Whether views of this shape enter as they are."""
        if len(shape) != 4 or shape[-1] not in self._channels:
            return False
        if isinstance(self.spec, ViTSpec):
            return all(side and side % self.spec.patch == 0 for side in shape[1:3])
        return shape[1:3] == (self.preprocess.size,) * 2


def _any_traced(tree: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def digest_params(params: Params) -> str:
    """SHA-256 over path, shape and float32 bytes of every weight, in the order of the paths."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        value = np.ascontiguousarray(leaf, dtype="<f4")
        digest.update(f"{jax.tree_util.keystr(path)}{value.shape}".encode())
        digest.update(value.data)
    return digest.hexdigest()
