"""A checkout's old spelling of ``mgm_converters``; the wheel installs that name alone."""

from mgm_converters import *  # noqa: F403
