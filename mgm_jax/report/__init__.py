"""The report of a study: one offline page, and the headline for a terminal.

| room | what |
|---|---|
| ``page`` | the page, put together |
| ``data`` | tables read and checked, definitions of the metrics, what is packed into the page |
| ``figures`` | a figure a file, all drawn by one stack |
| ``text`` | headline, claims, verdicts, tables of numbers, what was left out |
| ``templates`` | the HTML of each section |
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mgm_jax.report.page import write_report
from mgm_jax.report.text.headline import headline_of_results

__all__ = ["headline_of_results", "write_report"]


class _CallableModule(ModuleType):
    """``mgm.report`` is this package once it is imported, and the function that users call."""

    def __call__(self, results: Any) -> Path:
        # By name: the report knows nothing of those who run studies.
        return importlib.import_module("mgm_jax.in_memory").open_report(results)


sys.modules[__name__].__class__ = _CallableModule
