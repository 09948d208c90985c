"""`python -m elman`: the command `elman`."""

from .cli import main

if __name__ == "__main__":
    main()
