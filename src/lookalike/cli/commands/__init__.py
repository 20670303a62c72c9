"""The commands, a file for each family: declaration and work together."""
