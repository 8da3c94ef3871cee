"""The output folder: its layout, its lock, records, tables, failures."""
