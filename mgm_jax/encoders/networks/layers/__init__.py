"""The layers that networks share, each in the form that is fast on its backend."""
