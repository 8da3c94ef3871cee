"""An encoder from anything that maps a batch of images to arrays.

Functions and modules of JAX are compiled together with the normalisation of their input and the
pooling of their output; a module of PyTorch gets tensors, and its layers are read by forward hooks;
anything else gets NumPy arrays. All look at the views that a converted encoder would look at.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.encoders.any_encoder import AnyEncoder
from mgm_jax.encoders.callables.identity import module_digest, program_digest
from mgm_jax.encoders.callables.pooling import named, pooled
from mgm_jax.encoders.callables.program import Program, plain_function, program_of
from mgm_jax.encoders.callables.torch import as_array, module_of, torch_runner
from mgm_jax.encoders.forward import grey
from mgm_jax.encoders.spec.base import EncoderSpec, Family
from mgm_jax.encoders.spec.preprocess import Interpolation, Preprocess
from mgm_jax.encoders.spec.shapes import Shapes
from mgm_jax.errors import InputError

Layout = Literal["nhwc", "nchw"]
Tokens = Literal["mean", "class"]
Rows = dict[str, Any]
#: ``(params, views, mean, std, taps)`` to rows by tap.
Run = Callable[[Any, Any, jax.Array, jax.Array, tuple[str, ...]], Rows]

# Images that a callable is asked about when it is wrapped.
_PROBES = 2

NO_DIGEST = (
    "nothing tells this encoder from a changed one, so its features are computed anew by every "
    "run; mgm.wrap(..., digest=...) names it"
)


@dataclass(frozen=True, kw_only=True)
class CallableSpec(EncoderSpec):
    """What is known of a wrapped callable: its input, its taps and their widths.

    Attributes:
        names: of the taps, in the order of the forward pass.
        widths: of their pooled features.
    """

    family: ClassVar[Family] = "callable"

    names: tuple[str, ...]
    widths: tuple[int, ...]

    @property
    def tap_widths(self) -> dict[str, int]:
        return dict(zip(self.names, self.widths, strict=True))

    @property
    def weight_shapes(self) -> Shapes:
        return {}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WrappedEncoder(AnyEncoder):
    """An encoder like any other, around a callable. Make one with :func:`wrap`.

    Attributes:
        name: what tables and figures call it.
        kind: what it is made of, such as ``PyTorch module``.
        spec: its input and taps.
        preprocess: how images become its input.
        run: from weights, views, mean, deviation and taps to rows by tap.
        identity: what decides its features beside the input; None where nobody knows.
        params: its weights, where it is a program of JAX.
        meta: facts about the origin.
    """

    name: str
    kind: str
    spec: CallableSpec
    preprocess: Preprocess
    run: Run
    identity: str | None
    params: Any = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"WrappedEncoder({self.name}: {self.kind}, {self.preprocess.size} px, "
            f"{self.width()}-d at {self.default_tap})"
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "preprocess": self.preprocess.to_dict(),
            "taps": self.taps,
            # Another digest in every run.
            "identity": self.identity or f"nobody knows: {uuid.uuid4()}",
        }

    def features(
        self, views: np.ndarray | jax.Array, *, taps: Iterable[str] | None = None
    ) -> dict[str, jax.Array]:
        """Pooled features of prepared views at several taps.

        Args:
            views: float ``[b, s, s, 3]`` in [0, 1]; mean and deviation are applied here.
            taps: layers to read; the default tap where None.

        Returns:
            By tap, float32 ``[b, d]``: maps averaged over positions, tokens over tokens.

        Raises:
            InputError: another shape, unknown taps, or an output that is no feature of a batch.
        """
        side = self.preprocess.size
        if views.ndim != 4 or views.shape[1:3] != (side, side):
            raise InputError(
                f"views: encoder {self.name} expects "
                f"[b, {side}, {side}, {self.spec.image_channels}], got {views.shape}"
            )
        wanted = self.spec.check_taps(tuple(taps or (self.default_tap,)))
        mean, std = (
            jnp.asarray(values, jnp.float32)
            for values in (self.preprocess.mean, self.preprocess.std)
        )
        outputs = self.run(self.params, jnp.asarray(views, jnp.float32), mean, std, wanted)
        return {tap: jnp.asarray(outputs[tap]) for tap in wanted}

    @property
    def _channels(self) -> tuple[int, ...]:
        return (3, self.spec.image_channels)


def wrap(
    fn: Any,
    *,
    size: int,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    taps: Sequence[str] | Mapping[str, str] | None = None,
    digest: str | None = None,
    variables: Any | None = None,
    layout: Layout | None = None,
    tokens: Tokens = "mean",
    resize: int | None = None,
    interpolation: Interpolation = "bilinear",
    name: str | None = None,
    kind: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> WrappedEncoder:
    """An encoder from a callable: everything that takes an encoder takes it.

    Args:
        fn: a batch of images to an array, or to arrays by name: a JAX function, a module of Flax
            NNX, Flax Linen or Equinox (which sees one image, as is its habit), a
            ``torch.nn.Module`` or a method of one, or anything else, which gets NumPy arrays.
            Of maps the mean over positions is taken.
        size: side of the square input, pixels.
        mean: taken off the input, red green blue, on the scale [0, 1]; one value for an encoder
            of grey images.
        std: what the input is divided by.
        taps: of a PyTorch module the submodules to read, by name where another name is wanted; of
            others the keys to read. In the order of the forward pass: the last is the default.
        digest: text that changes whenever the features do, such as the name of the weights. None
            takes it from weights and program. Of a plain Python function nothing can be known;
            without a digest a study computes its features anew in every run, and says so.
        variables: weights of a Linen module, or of a function ``fn(variables, x)``.
        layout: ``nhwc`` or ``nchw``; None means channels first for PyTorch and Equinox, else last.
        tokens: what stands for tokens ``[b, t, d]``: their ``mean``, or the first, a ``class``
            token.
        resize: short side before the cut; ``size`` where None.
        interpolation: how images are resized.
        name: what tables and figures call it; by default what ``fn`` is called.
        kind: what it is made of, for the tables.
        meta: facts about its origin, such as ``{"paradigm": "contrastive"}``.

    Raises:
        InputError: ``fn`` is not callable, fails on two images, gives no array of a batch, or lacks
            a tap.

    Example:
        >>> encoder = wrap(lambda x: x.mean(axis=(1, 2)), size=8, name="mean colour")
        >>> encoder
        WrappedEncoder(mean colour: JAX function, 8 px, 3-d at output)
        >>> encoder(np.zeros((2, 10, 12, 3), np.uint8)).shape
        (2, 3)
    """
    if not callable(fn):
        raise InputError(
            f"fn: expected a callable that maps a batch to an array, got {type(fn).__name__}"
        )
    preprocess = Preprocess(
        size=size,
        resize=resize or size,
        interpolation=interpolation,
        mean=tuple(mean),
        std=tuple(std),
    )
    if layout not in (None, "nhwc", "nchw"):
        raise InputError(f"layout: expected nhwc or nchw, got {layout!r}")
    if tokens not in ("mean", "class"):
        raise InputError(f"tokens: expected mean or class, got {tokens!r}")
    called = name or getattr(fn, "__name__", type(fn).__name__).strip("<>")
    shape = (_PROBES, size, size, len(preprocess.mean))
    layers = _layers(taps)
    module = module_of(fn)
    program = program_of(fn, variables) if module is None else None
    channels_first = layout == "nchw" or (
        layout is None and (module is not None or bool(program and program.channels_first))
    )
    seen = (shape[0], shape[3], *shape[1:3]) if channels_first else shape
    if module is None and program is None:
        program = plain_function(fn, seen)
    look = _Look(
        shape=shape,
        layers=layers,
        channels_first=channels_first,
        class_token=tokens == "class",
        called=called,
    )
    try:
        if program is not None:
            run, rows, own = _of_program(program, look)
        else:
            run, rows, own = _of_callable(fn, module, look)
    except InputError:
        raise
    # The callable is the user's: whatever it raises is told with its name.
    except Exception as error:
        said = "\n".join(str(error).splitlines()[:3])
        raise InputError(
            f"fn: {called} raised {type(error).__name__} on a batch of shape {seen}: {said}"
        ) from error
    identity = own if digest is None else f"said: {digest}"
    made_of = kind or (
        program.kind if program else "Python function" if module is None else "PyTorch module"
    )
    of_class = isinstance(module or fn, type) or type(module or fn).__name__ == "function"
    facts: dict[str, Any] = {
        "architecture": made_of if of_class else type(module or fn).__name__,
        "source": called,
    }
    if identity is None:
        facts["conversion"] = {"doubt": NO_DIGEST}
    return WrappedEncoder(
        name=called,
        kind=made_of,
        spec=CallableSpec(
            image_size=size,
            image_channels=shape[3],
            names=tuple(rows),
            widths=tuple(rows.values()),
        ),
        preprocess=preprocess,
        run=run,
        identity=None
        if identity is None
        else f"{identity} {list(layers.items())} {layout} {tokens}",
        params=program.params if program else (),
        meta={"kind": made_of, **facts, **(meta or {})},
    )


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What a callable is given, and what is read of its answer."""

    shape: tuple[int, ...]
    layers: Mapping[str, str]
    channels_first: bool
    class_token: bool
    called: str

    def input(self, views: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
        if views.shape[-1] == 3 and len(mean) == 1:
            views = grey(views)
        x = (views - mean) / std
        return x.transpose(0, 3, 1, 2) if self.channels_first else x

    def row(self, outputs: Mapping[str, Any], tap: str, *, batch: int) -> Any:
        if tap not in outputs:
            raise InputError(
                f"taps: {self.called} gives no {tap!r}; it gives {', '.join(outputs) or 'nothing'}"
            )
        return pooled(outputs[tap], batch=batch, what=repr(tap), class_token=self.class_token)


def _layers(taps: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(taps, str):
        raise InputError(f"taps: expected a list of layers, such as [{taps!r}]")
    return dict(taps) if isinstance(taps, Mapping) else {tap: tap for tap in taps or ()}


def _of_program(program: Program, look: _Look) -> tuple[Run, dict[str, int], str | None]:
    """How a program of JAX runs, the widths of its taps, and its digest."""

    def answer(params: Any, x: Any) -> dict[str, Any]:
        outputs = named(program.apply(params, x))
        return {tap: outputs[key] for tap, key in look.layers.items() if key in outputs} or outputs

    @partial(jax.jit, static_argnames="taps")
    def run(
        params: Any, views: jax.Array, mean: jax.Array, std: jax.Array, taps: tuple[str, ...]
    ) -> Rows:
        outputs = answer(params, look.input(views, mean, std))
        return {tap: look.row(outputs, tap, batch=len(views)) for tap in taps}

    views = jax.ShapeDtypeStruct(look.shape, jnp.float32)
    moments = jax.ShapeDtypeStruct(look.shape[3:], jnp.float32)
    x = jax.eval_shape(look.input, views, moments, moments)
    names = tuple(look.layers) or tuple(jax.eval_shape(answer, program.params, x))
    rows = jax.eval_shape(partial(run, taps=names), program.params, views, moments, moments)
    widths = {tap: rows[tap].shape[1] for tap in names}
    return run, widths, program_digest(answer, program.params, x.shape)


def _of_callable(
    fn: Any, module: Any | None, look: _Look
) -> tuple[Run, dict[str, int], str | None]:
    """How a callable that JAX knows nothing of runs, the widths of its taps, and its digest."""
    of_tensors = None if module is None else torch_runner(fn, module, look.layers)

    def answer(x: jax.Array) -> dict[str, Any]:
        if of_tensors is not None:
            return of_tensors(x)
        outputs = named(fn(np.array(x)))
        outputs = {
            tap: outputs[key] for tap, key in look.layers.items() if key in outputs
        } or outputs
        return {tap: as_array(value) for tap, value in outputs.items()}

    def run(
        params: Any, views: jax.Array, mean: jax.Array, std: jax.Array, taps: tuple[str, ...]
    ) -> Rows:
        outputs = answer(look.input(views, mean, std))
        wanted = taps or tuple(look.layers) or tuple(outputs)
        return {tap: look.row(outputs, tap, batch=len(views)) for tap in wanted}

    probes = np.random.default_rng(0).random(look.shape, dtype=np.float32)
    zero = jnp.zeros(look.shape[3])
    rows = run((), jnp.asarray(probes), zero, zero + 1, ())
    own = None
    if module is not None and (digest := module_digest(module)):
        own = f"{getattr(fn, '__name__', '')} {digest}"
    return run, {tap: row.shape[1] for tap, row in rows.items()}, own
