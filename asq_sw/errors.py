"""The exceptions that mean "the input was wrong" or "a tool failed", as opposed to "the program is wrong"."""


class InputError(ValueError):
    """Bad input from a person: the message is one sentence naming the file or field and what was expected.

    The command line prints it on one line and exits with status 2; a library caller can treat it as a
    ``ValueError``.
    """


class ToolError(RuntimeError):
    """A program or process that this one started failed; the command line prints the line and exits with status 1."""
