"""The output folder: its layout, its lock, its tables, its leftovers."""
