"""What looks for one kind of thing in a text, one file each."""
