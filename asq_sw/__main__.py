"""``python -m asq_sw`` is the ``asq`` command."""

from asq_sw.cli import main

if __name__ == "__main__":
    main()
