"""The figures of the page, one a file, and what they share."""
