"""Logistic regression along a path of penalties, stacked into one problem.

``problem`` turns features to the coordinates of the solver, from memory (``rows``), block by block
(``read``) or by the products of rows (``row_gram``); ``path`` decides where penalties start and
when they are done; ``stack`` is the step of L-BFGS that all of them take together, ``loss`` what
it evaluates.
"""
