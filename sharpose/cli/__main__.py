"""The command line as `python -m sharpose.cli`."""

from sharpose.cli import main

# a process that is spawned imports this module again
if __name__ == "__main__":
    main()
