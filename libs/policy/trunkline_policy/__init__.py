"""Pure rules: values in, values out. No clock, no I/O, no randomness of their own."""
