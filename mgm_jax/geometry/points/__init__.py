"""Checked points: their type and layout, what rounding costs, groups, equal rows."""
