"""Pickles, read without running what they name."""
