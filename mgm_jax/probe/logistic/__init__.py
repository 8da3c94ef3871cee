"""Logistic regression along a path of penalties, stacked into one problem."""
