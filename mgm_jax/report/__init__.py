"""The report of a study: one offline page, and the headline for a terminal."""

from __future__ import annotations

from mgm_jax.report.page import write_report
from mgm_jax.report.text.headline import headline_of_results

__all__ = ["headline_of_results", "write_report"]
