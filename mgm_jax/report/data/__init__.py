"""The tables behind the page: read, checked, offered for download."""
