"""The figures of the page, one a file: traces and layouts for Plotly, made from the tables.

What they share: :mod:`~mgm_jax.report.figures.figure` (views, choices, numbers),
:mod:`~mgm_jax.report.figures.facets` (panels side by side), ``intervals`` and ``legend``. Figures
of encoders that are alike and of transfer have rooms of their own, ``likeness`` and ``transfer``.
"""
