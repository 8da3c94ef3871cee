"""Which file is meant, what it is, and how it comes here."""
