"""Loss and slope of logistic regressions that stand side by side, exact where they are tiny.

At weak regularisation classes are told apart almost surely: a loss is then far below the rounding
of a probability near 1, so losses and residuals are computed from what the other classes get.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

#: Rows whose logits exist at a time.
CHUNK = 2048

# Below this lead of the right class its exponential is too small to divide by.
_FAR_BEHIND = -30.0


def loss_and_slope(
    weights: jax.Array, z: jax.Array, codes: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Summed loss of each of s stacked regressions, its slope, and how curved it is.

    Args:
        weights: ``[s, r, c]`` float32.
        z: features ``[n, r]`` float32; n is below ``CHUNK`` or a multiple of it.
        codes: class of every row ``[n]``, for one multinomial loss; or 0 and 1 ``[n, c]``, for c
            binary ones. -1 in rows that fill up.

    Returns:
        Loss ``[s]``, slope ``[s, r, c]``, and ``sum p (1 - p)`` over rows and classes with p the
        probabilities ``[s]``: what the second derivatives by the logits add up to.
    """
    lanes, width, classes = weights.shape
    rows = min(CHUNK, z.shape[0])
    # One product serves all: the stack lies beside the classes.
    beside = weights.transpose(1, 0, 2).reshape(width, lanes * classes)

    def chunk(total: tuple[jax.Array, ...], part: tuple[jax.Array, jax.Array]):
        z, codes = part
        logits = jnp.matmul(z, beside, precision=jax.lax.Precision.HIGHEST)
        one = _multinomial if codes.ndim == 1 else _binary
        loss, residual = one(logits.reshape(-1, lanes, classes), codes)
        flat = residual.reshape(-1, lanes * classes)
        slope = jnp.matmul(z.T, flat, precision=jax.lax.Precision.HIGHEST)
        # A residual is a probability, or what it lacks to 1: p (1 - p) is the same of both.
        size = jnp.abs(residual)
        curved = jnp.sum(size * (1 - size), axis=(0, 2))
        return (total[0] + loss, total[1] + slope, total[2] + curved), None

    parts = (z.reshape(-1, rows, width), codes.reshape(-1, rows, *codes.shape[1:]))
    start = jnp.zeros(lanes, z.dtype), jnp.zeros_like(beside), jnp.zeros(lanes, z.dtype)
    (loss, slope, curved), _ = jax.lax.scan(chunk, start, parts)
    return loss, slope.reshape(width, lanes, classes).transpose(1, 0, 2), curved


def _multinomial(logits: jax.Array, codes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Loss ``[s]`` and residuals ``[n, s, c]`` of logits ``[n, s, c]`` and classes ``[n]``."""
    right = (codes[:, None] == jnp.arange(logits.shape[2]))[:, None, :]
    mask = (codes >= 0)[:, None]
    largest = logits.max(axis=2, keepdims=True)
    raised = jnp.exp(logits - largest)
    others = jnp.sum(jnp.where(right, 0, raised), axis=2)
    lead = jnp.sum(jnp.where(right, logits - largest, 0), axis=2)
    own = jnp.exp(lead)
    near = lead > _FAR_BEHIND
    loss = jnp.where(
        near,
        jnp.log1p(others / jnp.where(near, own, 1)),
        jnp.log(others + own) - lead,
    )
    whole = (others + own)[:, :, None]
    residual = jnp.where(right, -others[:, :, None], raised) / whole
    return jnp.sum(loss * mask, axis=0), residual * mask[:, :, None]


def _binary(logits: jax.Array, codes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same of c losses that exclude no other, for codes ``[n, c]``."""
    sign = jnp.where(codes == 1, -1.0, 1.0)[:, None, :]
    mask = (codes >= 0).astype(logits.dtype)[:, None, :]
    loss = jax.nn.softplus(sign * logits)
    residual = sign * jax.nn.sigmoid(sign * logits)
    return jnp.sum(loss * mask, axis=(0, 2)), residual * mask
