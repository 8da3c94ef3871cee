"""Files of any kind: written whole, sealed, told apart by how they begin, read as text tables."""
