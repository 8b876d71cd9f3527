"""Training. Nothing here is imported by inference."""
