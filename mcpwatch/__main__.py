"""`python -m mcpwatch` is the command `mcpwatch`."""

import sys

from mcpwatch.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
