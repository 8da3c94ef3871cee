# pyright: strict
"""What users are told: that what they handed in cannot be used, or has another name today."""

from __future__ import annotations

import warnings
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used; the message names it, what was expected and what to do.

    The command line prints the message alone and exits with status 2.
    """


def name_some(items: Iterable[object], *, most: int = 10) -> str:
    """Join items for an error message, cut after ``most`` with a count of the rest.

    >>> name_some([3, 5, 8], most=2)
    '3, 5 and 1 more'
    """
    listed = list(items)
    head = ", ".join(str(item) for item in listed[:most])
    rest = len(listed) - most
    return head if rest <= 0 else f"{head} and {rest} more"


class OldNameWarning(FutureWarning):
    """Something is still read under the name it had; the command line prints the message alone."""


def note_old_name(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Tell that something is read under its old name.

    Args:
        old: the name that was used.
        new: the name to use.
        stacklevel: frames from here to the one that used it.
    """
    warnings.warn(
        f"{old} is called {new} today; the old name is still read.",
        OldNameWarning,
        stacklevel=stacklevel,
    )
