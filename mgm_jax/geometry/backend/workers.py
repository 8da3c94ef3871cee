"""Calls on a few threads of the host, so that compiled code keeps all cores busy.

XLA runs the steps of a loop one after the other, on one core where they are small. It lets go
of Python's lock meanwhile, so that other threads can keep other cores at work.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import jax
from jax.sharding import Mesh

from mgm_jax.geometry.backend.cores import cores_apart
from mgm_jax.parallel.cpus import available_cpus

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")

# Every worker holds a batch and its matrices.
_MAX = 16
# Arrays of fewer values are looked through before a thread has started.
_WORTH_A_THREAD = 2**21
# Pools of one size that are kept: of a call, and of one that a call makes.
_IDLE = 2


def workers_for(mesh: Mesh | None) -> int:
    """How many threads to work on: one a core, two where other devices do the work.

    >>> workers_for(None) >= 1
    True
    """
    if mesh is not None or jax.default_backend() != "cpu":
        # The host finishes a batch while the devices work on the next.
        return 2
    return min(_MAX, available_cpus())


def workers_for_values(values: int) -> int:
    """How many threads for a pass or two over so many values of the host.

    >>> workers_for_values(100)
    1
    """
    return workers_for(None) if values >= _WORTH_A_THREAD else 1


def even_parts(size: int, *, most: int, workers: int) -> list[slice]:
    """Consecutive parts of ``size`` rows, of at most ``most`` each, as many for every worker.

    >>> even_parts(10, most=4, workers=2)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 9, None), slice(9, 10, None)]
    """
    step = max(1, -(-size // (-(-size // (most * workers)) * workers)))
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def in_order(
    calls: Sequence[Callable[[], Result]], *, workers: int, ahead: int = 1
) -> Iterator[Result]:
    """Make the calls on some threads and yield their results in the order of the calls.

    No more calls are begun than there are workers and ``ahead``, so that results do not pile up.
    The threads use the default device of the one that asks; other settings of JAX a call makes
    itself.

    Args:
        calls: what to call, each without arguments.
        workers: number of threads; with one, no thread is started.
        ahead: calls that may wait for a thread, or for their turn to be yielded; more of them keep
            threads at work beside a slow call.

    Yields:
        The results; an error of a call is raised when its turn comes, and ends the work.

    Example:
        >>> list(in_order([lambda: 1, lambda: 2], workers=2))
        [1, 2]
    """
    if workers == 1 or len(calls) <= 1:
        for call in calls:
            yield call()
        return
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]

    def on_device(call: Callable[[], Result]) -> Result:
        with jax.default_device(device):
            return call()

    running: deque[Future[Result]] = deque()
    with threads(workers) as pool:
        try:
            if len(calls) <= workers:
                # To wake a thread takes longer than to begin: who asks takes the first call.
                running.extend(pool.submit(on_device, call) for call in calls[1:])
                yield calls[0]()
                calls = ()
            for call in calls:
                running.append(pool.submit(on_device, call))
                if len(running) >= workers + ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for left in running:
                left.cancel()


def in_stages(stages: Sequence[Sequence[Callable[[], object]]], *, workers: int) -> None:
    """Make calls on some threads, those of a stage when all of the stage before are done.

    Who asks is one of the threads, and the others are woken once for all stages: for a small array
    that takes as long as a call. Each thread has cores of its own meanwhile (``cores``), so the
    calls should start no threads. Settings of JAX a call makes itself.

    Args:
        stages: calls without arguments; in a stage they are begun in their order.
        workers: number of threads; with one, no thread is started.

    Raises:
        Exception: the first error of a call, when no other is at work any more.

    Example:
        >>> order = []
        >>> in_stages([[lambda: order.append(1)] * 2, [lambda: order.append(2)]], workers=2)
        >>> order
        [1, 1, 2]
    """
    left = [deque(calls) for calls in stages]
    workers = min(workers, max(map(len, left), default=1))
    if workers <= 1:
        for calls in stages:
            for call in calls:
                call()
        return
    unfinished, lock = [len(calls) for calls in left], threading.Lock()
    # Set when all of a stage is done, whether or not every thread has woken by then.
    done = [threading.Event() for _ in left]

    def work() -> None:
        for number, calls in enumerate(left):
            if number:
                done[number - 1].wait()
            while calls:
                try:
                    call = calls.popleft()
                except IndexError:
                    # Another thread took the last one meanwhile.
                    break
                try:
                    call()
                except BaseException:
                    for others in left:
                        others.clear()
                    for event in done:
                        event.set()
                    raise
                with lock:
                    unfinished[number] -= 1
                    if not unfinished[number]:
                        done[number].set()

    for event, calls in zip(done, left, strict=True):
        if not calls:
            event.set()
    with threads(workers - 1) as pool, cores_apart(pool.native_ids):
        others = [pool.submit(work) for _ in range(workers - 1)]
        work()
        for other in others:
            # Who has not begun by now has nothing to do.
            if not other.cancel():
                other.result()


class _Pool(ThreadPoolExecutor):
    """A pool that knows its threads.

    Attributes:
        native_ids: those that have started, by ``threading.get_native_id``.
    """

    def __init__(self, workers: int) -> None:
        self.native_ids: list[int] = []
        super().__init__(workers, thread_name_prefix="mgm-jax", initializer=self._started)

    def _started(self) -> None:
        self.native_ids.append(threading.get_native_id())


class _Pools:
    """Pools of threads that wait for the next who needs one.

    Beside threads of linear algebra that still wait for work, a thread takes a millisecond to
    start, and a call on a small cloud starts a dozen. A pool is lent to one at a time: calls that
    wait for calls of their own never wait for a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[int, list[_Pool]] = {}

    @contextmanager
    def borrowed(self, workers: int) -> Iterator[_Pool]:
        with self._lock:
            idle = self._idle.get(workers)
            pool = idle.pop() if idle else None
        pool = pool or _Pool(workers)
        try:
            yield pool
        except BaseException:
            # Nobody writes into results any more when the error arrives.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        with self._lock:
            idle = self._idle.setdefault(workers, [])
            if len(idle) < _IDLE:
                idle.append(pool)
                return
        pool.shutdown(wait=False)

    def forget(self) -> None:
        """Drop them without a word, in a child of ``fork``, which has none of the threads."""
        self._lock = threading.Lock()
        self._idle = {}


_pools = _Pools()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.forget)


def threads(workers: int) -> AbstractContextManager[_Pool]:
    """A pool of so many threads for the time of a ``with``, kept for the next who asks.

    Like a new ``ThreadPoolExecutor``, it is nobody else's meanwhile, and an error within waits for
    what is at work and drops the rest.

    >>> with threads(2) as pool:
    ...     list(pool.map(abs, [-1, 2]))
    [1, 2]
    """
    return _pools.borrowed(workers)


class _OneThread:
    """Limits that last from the first who wants them to the last.

    If each caller kept what was in force before him, one of two that run side by side would put
    back the other's limit, and leave it there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._limits = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._holders:
                libraries = _libraries()
                if libraries is not None:
                    self._limits.enter_context(libraries.limit(limits=1, user_api="blas"))
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._limits.close()


@cache
def _libraries() -> ThreadpoolController | None:
    """The libraries of linear algebra, which take a millisecond to find; None where nothing can."""
    try:
        # SciPy brings one of its own, which is loaded with its first use: one that is not there yet
        # would not be held back, and last bits would depend on who came first.
        import scipy.linalg  # noqa: F401  # pyright: ignore[reportUnusedImport]
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def blas_architectures() -> list[str]:
    """What the libraries of OpenBLAS take the processor for; empty where nothing can tell.

    >>> isinstance(blas_architectures(), list)
    True
    """
    libraries = _libraries()
    known = [] if libraries is None else libraries.info()
    return [one["architecture"] for one in known if one.get("internal_api") == "openblas"]


_one_thread = _OneThread()


def one_thread_a_product() -> AbstractContextManager[None]:
    """Keep the linear algebra of NumPy and SciPy from starting threads of its own beside ours.

    Its threads wait for each other longer than they work where matrices are small. Calls may
    contain each other, or run side by side. It takes ``threadpoolctl``, which comes with
    scikit-learn.

    >>> with one_thread_a_product():
    ...     pass
    """
    return _one_thread()
