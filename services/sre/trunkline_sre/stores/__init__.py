"""Where traces live, one file each."""
