"""What `labelvino doctor` looks at, one module a concern."""
