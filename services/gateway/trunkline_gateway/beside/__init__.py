"""Work that goes on beside requests and ends with the gateway."""
