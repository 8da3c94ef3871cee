"""Doing the work of a study: its stages and tasks, and where they are done."""
