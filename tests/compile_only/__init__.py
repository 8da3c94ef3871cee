"""The counts of compiled programs, and every kernel through the compilers of TPUs and GPUs."""
