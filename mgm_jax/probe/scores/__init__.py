"""Scores of transferability that need no training."""
