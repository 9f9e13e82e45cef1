"""What can stop the harness, as opposed to what it finds."""


class HarnessError(Exception):
    """The harness could not do its work (exit status 3); never a verdict on the target."""


class UsageError(Exception):
    """The request cannot be carried out as it was made (exit status 2)."""
