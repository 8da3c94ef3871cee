"""The report of a study: one offline page, and a picture for documents."""

from __future__ import annotations

from mgm_jax.report.layer_picture import layer_picture
from mgm_jax.report.page import write_report
from mgm_jax.report.picture import mgm_figure
from mgm_jax.report.text.headline import headline_of_results

__all__ = ["headline_of_results", "layer_picture", "mgm_figure", "write_report"]
