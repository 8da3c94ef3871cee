"""Prediction of transfer from metrics, held out."""
