"""What is trained: backbones, the heads around them, convolutions that a CPU trains fast."""
