"""``python -m service.cli``, the same as ``heunboard``."""

from service.cli.main import main

if __name__ == "__main__":
    main()
