"""All of Trunkline in one process, and the `trunkline` command."""
