"""One module a command of `labelvino`; what is heavy is imported when the command runs."""
