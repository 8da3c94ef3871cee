"""A program that no other process waits for: prints what its attempts to start were told."""

from __future__ import annotations

import sys

from mgm_jax.errors import InputError
from mgm_jax.parallel.processes import start_processes


def main(nobody: str) -> None:
    """Start without a cluster, then with a coordinator that is not there; a line each."""
    for options in ({}, {"coordinator": nobody, "count": 2, "index": 1, "timeout": 1}):
        try:
            start_processes(**options)
        except InputError as error:
            print(" ".join(str(error).split()))


if __name__ == "__main__":
    main(sys.argv[1])
