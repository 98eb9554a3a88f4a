"""An upstream reached by Streamable HTTP."""
