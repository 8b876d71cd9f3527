"""The command line. `prosect.cli.main` is the entry; each command has its own file, loaded when it is called."""
