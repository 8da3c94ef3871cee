"""The one error that says: what was handed in cannot be used."""

from __future__ import annotations

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
