"""The cache: answers that may be given again, inside their tenant."""
