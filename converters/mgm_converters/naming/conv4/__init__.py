"""Conv4 of few-shot code: a spelling a file."""
