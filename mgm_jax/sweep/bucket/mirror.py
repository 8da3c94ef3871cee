"""Output in a bucket: a run works in a folder here, and a bucket follows it.

A run needs a file system, for its lock and for files that appear whole by a rename. So it has a
folder of its own, which takes from the bucket what that has and the folder lacks, and whose
finished files are sent there while it runs. What is lost with the machine is what was made since
the last time they were sent: a minute, or as much as five such sendings take.

A bucket that fails never ends the run: it is tried again, and the end says where the results are.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.whole import out_of_space, whole_file
from mgm_jax.progress import Bar, progress
from mgm_jax.sweep.bucket.copies import Copies, fetch_all, is_copied, output_files
from mgm_jax.sweep.bucket.lease import Lease, LeaseLost
from mgm_jax.sweep.bucket.objects import Bucket
from mgm_jax.sweep.output.hold import hold

#: Seconds between two sendings.
EVERY = 60.0

# Sending a large account takes its time; it gets at most a fifth of it.
_SHARE = 5

_MAX_WAIT = 600.0

# Seconds between tries, where somebody waits for the end of them.
_PATIENCE = (1.0, 4.0, 15.0)

# Seconds that a sending may take on when the run is asked to stop: schedulers kill after thirty.
_GRACE = 10.0

# In the working folder: what the bucket held when it was last sent to.
_NOTE = ".bucket.json"

Say = Callable[[str], None]


@contextmanager
def mirrored(
    url: str,
    work: str | Path | None = None,
    *,
    every: float = EVERY,
    patience: tuple[float, ...] = _PATIENCE,
    say: Say,
) -> Iterator[Path]:
    """Give a folder to run in whose files go to a bucket, and are taken from there first.

    Everything is sent once more at the end, whether the body raises or not.

    Args:
        url: the bucket, as fsspec takes it: ``s3://bucket/folder``, ``gs://bucket/folder``.
        work: the folder; by default one of the user's cache, chosen by ``url``.
        every: seconds between two sendings.
        patience: seconds between tries at the start and at the end.
        say: told what goes wrong with the bucket, and right again.

    Raises:
        InputError: another run holds the bucket, it cannot be read at the start, or, at the end
            of a body that did not raise, it could not be written.
    """
    bucket = Bucket.open(url)
    folder = work_folder(bucket) if work is None else Path(work)
    folder = folder.expanduser().resolve()
    lease = Lease(bucket, say=say)
    mirror = _Mirror(bucket, folder, lease=lease, every=every, patience=patience, say=say)
    with ExitStack() as held:
        try:
            mirror.patiently(lambda: held.enter_context(lease.held()))
            mirror.patiently(mirror.restore)
        except InputError:
            raise
        except Exception as error:
            if out_of_space(error):
                raise InputError(f"{folder}: no space is left ({error}); make room") from error
            raise InputError(f"{bucket.url}: cannot be used ({error})") from error
        mirror.start()
        try:
            yield folder
        except BaseException as error:
            if problem := mirror.finish(hurry=isinstance(error, KeyboardInterrupt)):
                say(problem)
            raise
        if problem := mirror.finish():
            raise InputError(problem)


def work_folder(bucket: Bucket) -> Path:
    """The folder of the user's cache that stands for a bucket."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "mgm_jax" / "buckets" / bucket.name


class _Mirror:
    """A folder, the bucket that follows it, and the thread that sees to it."""

    def __init__(
        self,
        bucket: Bucket,
        out: Path,
        *,
        lease: Lease,
        every: float,
        patience: tuple[float, ...],
        say: Say,
    ) -> None:
        self._bucket, self._out, self._lease = bucket, out, lease
        self._every, self._patience, self._say = every, patience, say
        self._copies = Copies(bucket, {})
        self._seen: set[str] = set()
        self._lost: LeaseLost | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="bucket", daemon=True)

    def restore(self) -> None:
        """Take from the bucket what the folder lacks, or holds as the bucket once held it."""
        with hold(self._out):
            contents = self._bucket.contents()
            self._copies = Copies(self._bucket, contents, allowed=self._lease.check)
            note = self._read_note()
            wanted = {}
            for name in filter(is_copied, contents):
                local = self._copies.sums.of(name, self._out / name)
                # What was changed here since is newer; what was not, another run has replaced.
                is_old = local != contents[name] and local == note.get(name)
                if local is None or is_old:
                    wanted[name] = contents[name]
            # A failure that another run has seen to would keep this one from what is done.
            for name in note.keys() - contents.keys() if contents else ():
                path = self._out / name
                if name.startswith("failed/") and self._copies.sums.of(name, path) == note[name]:
                    path.unlink()
            with progress("restore", total=len(wanted), unit="file") as bar:
                came, unfit = fetch_all(self._bucket, wanted, self._out, bar=bar)
        for name in unfit:
            self._copies.there.pop(name)
        if came:
            self._say(f"{self._bucket.url}: {len(came)} files taken into {self._out}")
        if unfit:
            self._say(
                f"{self._bucket.url}: {len(unfit)} damaged there, not used and made again where "
                f"needed: {name_some(unfit, most=3)}"
            )
        self._seen = set(output_files(self._out))
        self._write_note()

    def start(self) -> None:
        """Begin to send, every so often, what is new."""
        self._thread.start()

    def finish(self, *, hurry: bool = False) -> str | None:
        """Send everything that is left; what went wrong, in words, where it could not be.

        Args:
            hurry: try once, as whoever asked for the end does not wait for long.
        """
        self._stop.set()
        self._thread.join(timeout=_GRACE if hurry else None)
        error: Exception | None = self._lost
        if self._thread.is_alive():
            error = TimeoutError(f"the last sending takes longer than {_GRACE:.0f} s")
        if hurry:
            self._patience = ()
        if error is None:
            try:
                total = len(output_files(self._out))
                with progress("upload", total=total, unit="file") as bar:
                    self.patiently(lambda: self._push(bar))
                self._say(f"{self._bucket.url}: all that is finished is there")
                return None
            except Exception as raised:
                error = raised
        return (
            f"{self._bucket.url}: not everything could be sent there ({error}). The results are "
            f"in {self._out}; `mgm upload --all {self._out} {self._bucket.url}` sends them"
        )

    def patiently(self, work: Callable[[], object]) -> None:
        """Do something with the bucket, several times if need be."""
        for wait in self._patience:
            try:
                work()
                return
            except (InputError, LeaseLost):
                raise
            except Exception as error:
                if out_of_space(error):
                    raise
                self._say(f"{self._bucket.url}: {error}; tried again in {wait:.0f} s")
                time.sleep(wait)
        work()

    def _follow(self) -> None:
        failed, wait = 0, self._every
        while not self._stop.wait(wait):
            start = time.monotonic()
            try:
                self._push()
            except LeaseLost as error:
                self._lost = error
                self._say(f"{self._bucket.url}: {error}; this run goes on in {self._out} alone")
                return
            except Exception as error:
                failed += 1
                wait = min(self._every * 2**failed, max(self._every, _MAX_WAIT))
                self._say(
                    f"{self._bucket.url}: cannot be written ({error}); the run goes on in "
                    f"{self._out}, tried again in {wait:.0f} s"
                )
            else:
                if failed:
                    self._say(f"{self._bucket.url}: written again")
                failed = 0
                wait = max(self._every, _SHARE * (time.monotonic() - start))

    def _push(self, bar: Bar | None = None) -> None:
        files = output_files(self._out)
        gone, self._seen = self._seen - files.keys(), set(files)
        sent, _ = self._copies.send(files, gone=gone, bar=bar)
        if sent or gone:
            self._write_note()

    def _read_note(self) -> dict[str, str]:
        try:
            note = json.loads((self._out / _NOTE).read_text(encoding="utf-8"))
            return dict(note["contents"]) if note["url"] == self._bucket.url else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write_note(self) -> None:
        there = {name: total for name, total in self._copies.there.items() if is_copied(name)}
        with whole_file(self._out / _NOTE) as part:
            part.write_text(
                json.dumps({"url": self._bucket.url, "contents": there}), encoding="utf-8"
            )
