"""`python -m mcpwatch.demo` is the demo server on stdin and stdout."""

from mcpwatch.demo.server import main

main()
