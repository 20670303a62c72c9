"""The commands: a file each, or one for a close family, with declaration and work together.

A command imports the library inside its functions: numpy, SQLAlchemy and the rest take half a second, which `--help`
and `--version` do not need.
"""
