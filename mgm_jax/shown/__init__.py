"""How results show themselves in a notebook: a line, a small picture, the head of the table.

| file | what |
|---|---|
| ``result`` | the one way that all results take |
| ``histogram`` | the distribution of a column |
| ``plot`` | curves and points with intervals |
| ``matrix`` | values of all pairs |
| ``tree`` | which merges with which |

Pictures are inline SVG, so that they need no plotting library.
"""
