"""Where entries live, one file each."""
