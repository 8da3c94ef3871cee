"""Where a run works: the output folder itself, or one whose files a bucket follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.sweep.bucket.mirror import Say, mirrored
from mgm_jax.sweep.run.executors.local import Executor, LocalExecutor


def is_url(output: object) -> bool:
    """Whether an output is the address of a bucket; a path made of one counts too.

    >>> is_url("s3://bucket/out"), is_url(Path("s3://bucket/out")), is_url("results/a:b/c")
    (True, True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:(:[^/]*:)?/", str(output)) is not None


def refuse_url(output: object) -> None:
    """Refuse the address of a bucket where a folder is needed.

    Raises:
        InputError: it is one.
    """
    if is_url(output):
        raise InputError(
            f"{output}: expected a folder, which can be locked and files in it renamed, got the "
            "address of a bucket; `mgm run -o` takes one, or run in the folder that "
            "mgm_jax.sweep.mirrored gives for it"
        )


@contextmanager
def output_folder(
    output: str | Path,
    *,
    say: Say,
    work: Path | None = None,
    executor: Executor | None = None,
) -> Iterator[Path]:
    """Give the folder to run in; of a bucket, one that is made ready and sent there at the end.

    Args:
        output: a folder or the address of a bucket.
        say: told what goes wrong with the bucket, and right again.
        work: the folder to work in, where ``output`` is a bucket.
        executor: where the work will be done; several processes must share ``work``.

    Raises:
        InputError: ``work`` without a bucket, several processes and a bucket without ``work``, or
            what :func:`~mgm_jax.sweep.bucket.mirror.mirrored` raises.
    """
    if not is_url(output):
        if work is not None:
            raise InputError(
                f"--work {work}: -o {output} is a folder, and the run works in it; --work is for "
                "an output in a bucket"
            )
        yield Path(output).resolve()
        return
    executor = executor or LocalExecutor()
    if not isinstance(executor, LocalExecutor) and work is None:
        raise InputError(
            f"-o {output}: several processes work in one folder before it goes to the bucket; "
            "give --work with a folder that all of them share"
        )
    with ExitStack() as held:
        # The others begin when the folder has what the bucket has.
        with executor.first():
            if executor.writes:
                folder = held.enter_context(mirrored(str(output), work, say=say))
            else:
                folder = Path(work or ".").expanduser().resolve()
        yield folder
