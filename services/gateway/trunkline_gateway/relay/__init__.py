"""What happens to an answer on its way back."""
