"""What tokens cost where: a shipped table with dates and sources, and what the configuration says instead."""
