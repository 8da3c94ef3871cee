"""What depends on the machine: double precision, threads of the host, fast sums."""
