"""Doing the work of a study: tasks, stages, and who does them."""
