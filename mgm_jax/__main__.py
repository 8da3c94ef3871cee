"""The program ``mgm``: first the handlers of signals, then everything that takes long to load."""

from __future__ import annotations

import os
import sys

from mgm_jax.interrupts import leave_when_asked


def main() -> None:
    """Entry point of ``mgm``, and of ``python -m mgm_jax``."""
    leave_when_asked()
    from mgm_jax.cli import main as commands

    try:
        commands()
    except SystemExit as end:
        if isinstance(end.__cause__, KeyboardInterrupt) and isinstance(end.code, int):
            # What is finished is on the disk; the threads that are at work are not waited for.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


if __name__ == "__main__":
    main()
