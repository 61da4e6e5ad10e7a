"""The subcommands of `halfiqa` that are no jobs: words in, exit code out. Each imports what it needs when it runs."""
