"""Measures of a whole cloud, from its moments, its spectrum, its views or all pairs."""
