"""Probes, prediction of transfer, predicted against measured, and the features behind it."""
