"""The subcommands of `faultline`: a module for those that have much in common."""
