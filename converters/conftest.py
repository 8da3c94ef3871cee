"""Docstrings are tests; without PyTorch those that need it are left out."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["mgm_converters/verification/reference*.py"]
