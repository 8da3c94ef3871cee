"""A study, cut into cells and run so that it can stop anywhere and go on.

``subjects`` makes encoders out of the entries of a study, ``cells`` says what has to be embedded
and measured, ``measure`` turns one cell into per-point records, ``tables`` puts the records of all
cells together, ``run`` drives them.
"""

from mgm_jax.sweep.run import StudyResult, run_study

__all__ = ["StudyResult", "run_study"]
