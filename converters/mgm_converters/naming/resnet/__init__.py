"""ResNets: a spelling a file."""
