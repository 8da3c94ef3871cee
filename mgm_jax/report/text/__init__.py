"""The words of the page: definitions, headline, verdicts, labels, tables as text."""
