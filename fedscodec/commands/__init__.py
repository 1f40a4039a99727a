"""The subcommands of `feds`, one file each, and what they share; `cli` puts them together."""
