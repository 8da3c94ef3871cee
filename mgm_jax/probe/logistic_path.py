"""Logistic regression at many strengths of regularisation, solved as one problem.

All strengths share the features, so their weights stand side by side on the class axis and one
product serves them all. The coordinates do the rest: with ``X'X = Q diag(l) Q'`` the Hessian of
strength s is at most ``Q diag(l / 2 + s) Q'`` (Boehning 1992), so in the variables
``V = (l / 2 + s)^1/2 Q'W`` no direction is steeper than 1, at any strength. L-BFGS then needs few
steps; strengths that have converged leave the stack.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.progress import progress

_MEMORY = 10
_CHUNK = 2048
# Steps between two looks at who has converged.
_ROUND = 4
# Where classes can be separated, the gradient vanishes with the loss; so the objective must have
# settled too: relative decrease in a round.
_DECREASE = 1e-5


class Problem(NamedTuple):
    """The data in the coordinates of the solver.

    Attributes:
        z: centred features along the eigenvectors, and a last column for the intercept,
            ``[n', r + 1]`` float32; rows of zeros fill the last chunk.
        codes: class of every row, ``[n']`` int32; or for labels that exclude no other, 0 or 1
            for each, ``[n', c]``. -1 in filling rows.
        squares: eigenvalues of the centred ``X'X``, ``[r]`` float64.
        basis: eigenvectors ``[d, r]`` float32.
        mean: of the features, ``[d]`` float64.
        classes: number of classes.
    """

    z: jax.Array
    codes: jax.Array
    squares: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    classes: int


class PathSolution(NamedTuple):
    """One solution a strength.

    Attributes:
        weights: ``[s, d, c]`` float32.
        intercepts: ``[s, c]`` float32.
        objective: ``sum_i loss_i + strength / 2 |W|^2`` at the solution, ``[s]`` float64.
        gradient: largest entry of its gradient in the solver's coordinates, over the number of
            rows' root, ``[s]``.
        steps: L-BFGS steps, ``[s]``.
        converged: whether the gradient fell below the tolerance and the objective settled, ``[s]``.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    objective: np.ndarray
    gradient: np.ndarray
    steps: np.ndarray
    converged: np.ndarray


def prepare(x: np.ndarray, codes: np.ndarray, *, classes: int) -> Problem:
    """Centre and rotate features, once for all strengths.

    Args:
        x: features ``[n, d]``.
        codes: class of every row, ``[n]`` int, for multinomial regression; or 0 and 1
            ``[n, c]``, for c independent binary ones.
        classes: c.
    """
    n, d = x.shape
    mean = x.mean(axis=0, dtype=np.float64)
    centred = (x - mean).astype(np.float32)
    small = n < d
    wide = centred.astype(np.float64)
    gram = wide @ wide.T if small else wide.T @ wide
    values, vectors = np.linalg.eigh(gram)
    real = values > values[-1] * max(n, d) * np.finfo(np.float32).eps ** 2
    values, vectors = values[real][::-1], vectors[:, real][:, ::-1]
    basis = (wide.T @ vectors) / np.sqrt(values) if small else vectors
    basis = basis.astype(np.float32)
    z = np.concatenate([centred @ basis, np.ones((n, 1), np.float32)], axis=1)
    chunk = min(_CHUNK, n)
    more = -n % chunk
    return Problem(
        z=jnp.asarray(np.pad(z, ((0, more), (0, 0)))),
        codes=jnp.asarray(
            np.pad(
                codes.astype(np.int32),
                [(0, more)] + [(0, 0)] * (codes.ndim - 1),
                constant_values=-1,
            )
        ),
        squares=values,
        basis=basis,
        mean=mean,
        classes=classes,
    )


def solve_path(
    problem: Problem,
    strengths: np.ndarray,
    *,
    tolerance: float = 1e-5,
    most_steps: int = 1000,
    start: np.ndarray | None = None,
) -> PathSolution:
    """Solve ``min sum_i loss_i(W, b) + strength / 2 |W|^2`` for every strength.

    Args:
        problem: from :func:`prepare`.
        strengths: ``[s]``, above 0; scikit-learn's C is one over it.
        tolerance: of the gradient.
        most_steps: L-BFGS steps after which a strength is given up as not converged.
        start: weights in the solver's coordinates to start from, ``[s, r + 1, c]``.

    Returns:
        The solutions, in the order of the strengths.
    """
    lanes = len(strengths)
    n = int((np.asarray(problem.codes).reshape(len(problem.codes), -1)[:, 0] >= 0).sum())
    scale = np.empty((lanes, problem.z.shape[1]), np.float32)
    scale[:, :-1] = 1 / np.sqrt(problem.squares / 2 + np.asarray(strengths)[:, None])
    scale[:, -1] = np.sqrt(2 / n)
    ridge = np.zeros_like(scale)
    ridge[:, :-1] = np.asarray(strengths)[:, None]
    shape = (lanes, problem.z.shape[1], problem.classes)
    params = np.zeros(shape, np.float32) if start is None else start.astype(np.float32)
    best = params.copy()
    objective, gradient = np.full(lanes, np.inf), np.full(lanes, np.inf)
    steps, converged = np.zeros(lanes, int), np.zeros(lanes, bool)
    active = np.arange(lanes)
    state = None
    with progress("linear probes", total=lanes, unit="strength") as bar:
        while active.size:
            padded = _pad_lanes(active)
            if state is None:
                state = _begin(jnp.asarray(params[padded]))
            values = _advance(state, problem.z, problem.codes, scale[padded], ridge[padded])
            state, found, norm = values
            real = slice(0, active.size)
            before = objective[active]
            objective[active] = np.asarray(found, np.float64)[real]
            settled = before - objective[active] <= _DECREASE * objective[active]
            gradient[active] = np.asarray(norm, np.float64)[real] / np.sqrt(n)
            steps[active] += _ROUND
            converged[active] = settled & (gradient[active] <= tolerance)
            done = converged[active] | (steps[active] >= most_steps)
            if done.any():
                current = np.asarray(state[0])[real]
                best[active] = current
                kept = np.flatnonzero(~done)
                bar.advance(int(done.sum()))
                active = active[kept]
                if active.size:
                    places = jnp.asarray(kept[_pad_lanes(np.arange(kept.size))])
                    state = jax.tree.map(lambda part, p=places: part[p], state)
    weights = best[:, :-1] * scale[:, :-1, None]
    full = np.einsum("dr,src->sdc", problem.basis, weights, optimize=True)
    intercepts = best[:, -1] * scale[:, -1, None] - problem.mean.astype(np.float32) @ full
    return PathSolution(full, intercepts, objective, gradient, steps, converged)


def _pad_lanes(lanes: np.ndarray) -> np.ndarray:
    """Fill up to a size of few, so that few stacks are compiled; repeats of the last one."""
    sizes = [4, 16, 48]
    size = next((s for s in sizes if s >= lanes.size), lanes.size)
    return np.pad(lanes, (0, size - lanes.size), mode="edge")


def _optimiser():
    import optax

    return optax.lbfgs(memory_size=_MEMORY)


@jax.jit
def _begin(params: jax.Array):
    return params, jax.vmap(_optimiser().init)(params)


@jax.jit
def _advance(state, z: jax.Array, codes: jax.Array, scale: jax.Array, ridge: jax.Array):
    """Some L-BFGS steps of all lanes; then their objectives and gradient norms."""
    import optax

    optimiser = _optimiser()

    def one(params, memory, scale, ridge):
        def value(v: jax.Array) -> jax.Array:
            return _objective(v, z, codes, scale, ridge)

        def step(carry, _):
            params, memory = carry
            f, g = optax.value_and_grad_from_state(value)(params, state=memory)
            updates, memory = optimiser.update(g, memory, params, value=f, grad=g, value_fn=value)
            return (optax.apply_updates(params, updates), memory), None

        (params, memory), _ = jax.lax.scan(step, (params, memory), None, length=_ROUND)
        f = optax.tree_utils.tree_get(memory, "value")
        g = optax.tree_utils.tree_get(memory, "grad")
        return params, memory, f, jnp.max(jnp.abs(g))

    params, memory, f, g = jax.vmap(one)(state[0], state[1], scale, ridge)
    return (params, memory), f, g


@jax.custom_vjp
def _objective(v, z, codes, scale, ridge):
    return _value_and_slope(v, z, codes, scale, ridge)[0]


def _value_and_slope(v, z, codes, scale, ridge):
    weights = v * scale[:, None]
    rows = min(_CHUNK, z.shape[0])

    def chunk(total, part):
        z, codes = part
        logits = jnp.matmul(z, weights, precision=jax.lax.Precision.HIGHEST)
        if codes.ndim == 1:
            here = (codes >= 0).astype(v.dtype)[:, None]
            logs = jax.nn.log_softmax(logits, axis=1)
            right = jax.nn.one_hot(codes, v.shape[1], dtype=v.dtype)
            loss, chances = -jnp.sum(logs * right), jnp.exp(logs)
        else:
            here = (codes[:, :1] >= 0).astype(v.dtype)
            right = codes.astype(v.dtype) * here
            loss = jnp.sum((jax.nn.softplus(logits) - right * logits) * here)
            chances = jax.nn.sigmoid(logits)
        slope = jnp.matmul(z.T, (chances - right) * here, precision=jax.lax.Precision.HIGHEST)
        return (total[0] + loss, total[1] + slope), None

    parts = (z.reshape(-1, rows, z.shape[1]), codes.reshape(-1, rows, *codes.shape[1:]))
    (loss, slope), _ = jax.lax.scan(chunk, (jnp.zeros((), v.dtype), jnp.zeros_like(v)), parts)
    value = loss + 0.5 * jnp.sum(ridge[:, None] * weights**2)
    return value, (slope + ridge[:, None] * weights) * scale[:, None]


def _forward(v, z, codes, scale, ridge):
    return _value_and_slope(v, z, codes, scale, ridge)


def _backward(slope, cotangent):
    return cotangent * slope, None, None, None, None


_objective.defvjp(_forward, _backward)
