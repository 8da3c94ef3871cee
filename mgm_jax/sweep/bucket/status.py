"""How far studies in a bucket are, from its account and its smallest objects alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.progress import Bar
from mgm_jax.sweep.bucket.copies import fetch_all, is_copied
from mgm_jax.sweep.bucket.lease import lease_holder
from mgm_jax.sweep.bucket.objects import Bucket
from mgm_jax.sweep.output.layout import FOLDER as STUDIES
from mgm_jax.sweep.output.ledger import FOLDER as FAILED
from mgm_jax.sweep.output.upkeep.status import StudyStatus, study_status


def bucket_status(url: str) -> list[StudyStatus]:
    """How far every study of a bucket was when its run last sent something; no times left.

    Raises:
        InputError: no study was run there, or the bucket cannot be read.
    """
    bucket = Bucket.open(url)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        try:
            contents = {name: sha for name, sha in bucket.contents().items() if is_copied(name)}
            small = {
                name: sha for name, sha in contents.items() if name.startswith((STUDIES, FAILED))
            }
            fetch_all(bucket, small, out, bar=Bar(total=len(small)))
            who = lease_holder(bucket)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{bucket.url}: cannot be read ({error})") from error
        if not small:
            raise InputError(f"{bucket.url}: no study was run here")
        for name in contents.keys() - small.keys():
            # That these are there is all a status asks.
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).touch()
        return study_status(out, who=who)
