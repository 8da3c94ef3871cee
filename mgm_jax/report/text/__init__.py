"""The words of the page: headline, verdicts, labels, names, losses, tables of numbers."""
