"""For tests only: fake servers, a servicer to call, strategies, and skipping that cannot hide in CI."""
