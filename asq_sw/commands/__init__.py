"""One module per subcommand; each parses, calls one function and prints."""
