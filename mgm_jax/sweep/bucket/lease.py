"""One run at a time writes into a bucket: an object says who, and is renewed while it goes on.

An object store has no lock that dies with its process. So the lease is a claim that is renewed
every half minute; whoever finds one that nobody renews for three minutes takes it over. No clocks
of two machines are compared for that, except where a lease is an hour old.

What it promises: a second run is refused, or waits three minutes and takes over from a dead one; of
several that do so at once, one. Both rest on objects that are only made where there is none.
What it cannot: of two runs that start within the same second on a store without conditional writes,
or of one that slept for minutes and wakes, both may write for as long as one request takes. Every
object is told by its sha256, so what the two leave of each other is whole or counts as absent.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.files.names import safe_name
from mgm_jax.sweep.bucket.objects import LEASE, Bucket

#: Seconds between two renewals.
RENEW = 30.0

#: Seconds without a renewal after which a lease is taken over: six renewals were missed.
STALE = 180.0

# Clocks may be wrong; by so many seconds they are not.
_SURELY_STALE = 3600.0

# Two writers of the same moment have both written after so many seconds.
_SETTLE = 1.0


class LeaseLost(Exception):
    """Another run has taken the bucket over; says which."""


class Lease:
    """This process's claim on a bucket.

    Args:
        bucket: what is claimed.
        renew: seconds between renewals.
        stale: seconds without a renewal after which the lease of another is taken over.
        say: told what is being waited for.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        renew: float = RENEW,
        stale: float = STALE,
        say: Callable[[str], None],
    ) -> None:
        self._bucket, self._renew, self._stale, self._say = bucket, renew, stale, say
        self._token = uuid.uuid4().hex
        self._since = time.time()
        self._stop = threading.Event()
        self._claims: list[str] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the bucket while the body runs.

        Raises:
            InputError: another run holds it.
        """
        self._take()
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            # What cannot be removed now is stale soon.
            with suppress(Exception):
                if _token_of(self._bucket.read(LEASE)) == self._token:
                    self._bucket.remove(LEASE)
                    for name in self._claims:
                        self._bucket.remove(name)

    def check(self) -> None:
        """Go on, where the bucket is still ours.

        Raises:
            LeaseLost: it is not.
        """
        said = self._bucket.read(LEASE)
        if said is None:
            # Somebody removed it by hand.
            self._bucket.write(LEASE, self._content())
        elif _token_of(said) != self._token:
            raise LeaseLost(f"{_who(said)} has taken it over")

    def _take(self) -> None:
        name, said = LEASE, self._bucket.read(LEASE)
        first, self._claims = said, []
        # Our own, where an earlier try was answered by an error and succeeded all the same.
        while said is not None and _token_of(said) != self._token:
            if not self._outlasts(name, said):
                return self._take()
            # Two that wait for the same dead run both find it dead: whoever makes the object that
            # is named after it takes over.
            name = _claim_on(said)
            self._claims.append(name)
            said = self._bucket.read(name)
        sure = False
        if said is None:
            try:
                sure = self._bucket.write_new(name, self._content())
            except FileExistsError:
                raise self._refused(self._bucket.read(name) or b"") from None
        if not sure:
            time.sleep(_SETTLE)
            now = self._bucket.read(name)
            if _token_of(now) != self._token:
                raise self._refused(now or b"")
        if name != LEASE:
            now = self._bucket.read(LEASE)
            if _token_of(now) not in (_token_of(first), self._token):
                # Someone took over and ended while we waited, and a third began.
                self._bucket.remove(name)
                raise self._refused(now or b"")
            self._bucket.write(LEASE, self._content())

    def _outlasts(self, name: str, said: bytes) -> bool:
        """Wait until a lease proves to be that of a dead run; False where it is given back.

        Raises:
            InputError: it is renewed.
        """
        if _is_dead(said):
            return True
        self._say(
            f"{self._bucket.url}: held by {_who(said)}; "
            f"taken over unless it is renewed within {self._stale:.0f} s"
        )
        end = time.monotonic() + self._stale
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._renew / 3))
            now = self._bucket.read(name)
            if now is None:
                return False
            if now != said:
                raise self._refused(now)
        return True

    def _keep(self) -> None:
        while not self._stop.wait(self._renew):
            try:
                self.check()
                self._bucket.write(LEASE, self._content())
            except LeaseLost:
                # Whoever writes next asks and is told.
                return
            except Exception:
                # A bucket that is away: the next renewal may succeed, in time or not.
                continue

    def _content(self) -> bytes:
        content = {
            "token": self._token,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "machine": _machine(),
            "since": self._since,
            "renewed": time.time(),
        }
        return json.dumps(content, indent=1).encode()

    def _refused(self, said: bytes) -> InputError:
        return InputError(
            f"{self._bucket.url}: another run is writing here ({_who(said)}); "
            "wait for it, or give another address"
        )


def lease_holder(bucket: Bucket) -> str | None:
    """Who holds a bucket, as far as can be told at once; None where nobody does."""
    said = bucket.read(LEASE)
    return None if said is None or _is_dead(said) else _who(said)


def _read(said: bytes | None) -> dict[str, Any]:
    try:
        content = json.loads(said or b"")
        return content if isinstance(content, dict) else {}
    except ValueError:
        return {}


def _token_of(said: bytes | None) -> str | None:
    return _read(said).get("token")


def _claim_on(said: bytes) -> str:
    """Name of the object that whoever takes over from a dead run makes; only one can."""
    return f"lease-after-{safe_name(str(_token_of(said)))}.json"


def _who(said: bytes) -> str:
    content = _read(said)
    try:
        renewed = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(content["renewed"])))
        return f"process {content['process']} on {content['host']}, last renewed {renewed}"
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return "of unknown place"


def _is_dead(said: bytes) -> bool:
    """Whether a lease is surely that of a run that has ended."""
    content = _read(said)
    try:
        if time.time() - float(content["renewed"]) > _SURELY_STALE:
            return True
        if not content["machine"] or content["machine"] != _machine():
            return False
        os.kill(int(content["process"]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return False
    return False


def _machine() -> str:
    """What two processes share that see each other's numbers; empty where it cannot be told."""
    # Containers may share the name of their host without sharing its processes.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
