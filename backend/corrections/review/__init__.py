"""What a model doubts in annotations."""
