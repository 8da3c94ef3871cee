"""What the page is made from: the tables of a study, what their columns mean, files to download."""
