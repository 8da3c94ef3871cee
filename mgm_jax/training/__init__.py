"""Geometry while training: a snapshot inside a compiled step, and a monitor that keeps the history.

| file | what |
|---|---|
| ``spectra`` | eigenvalues of a cloud, centred and not, from one tridiagonal matrix |
| ``neighbourhoods`` | exact neighbours and NNK polytopes of a few anchor points |
| ``snapshot`` | the scalars of one moment, a jit-able function of fixed shape |
| ``monitor`` | history, warnings in words, CSV, TensorBoard and W&B |
"""
