"""Converted encoders compared with what PyTorch computes."""
