"""Looking after an output folder: how far it is, what is left over, what is damaged."""
