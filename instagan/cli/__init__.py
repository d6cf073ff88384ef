"""The command line of the installed package: the only place in it that prints."""
