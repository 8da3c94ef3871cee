"""The encoders known by name, what their methods of training fix, and the tables that list them."""
