"""What a study comes to: its cells, its targets, all the work there is."""
