"""The one exception that means "the input was wrong", as opposed to "the program is wrong"."""


class InputError(ValueError):
    """Bad input from a person: the message is one sentence naming the file or field and what was expected.

    The command line prints it on one line and exits with status 2; a library caller can treat it as a
    ``ValueError``.
    """
