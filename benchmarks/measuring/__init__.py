"""What the scripts measure with: turns, rates of devices, counts of programs, opponents."""
