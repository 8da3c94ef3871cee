"""What is measured of one cell: its points, its panel, its transfer; no file is known here."""
