"""What an upstream says on stderr when it cannot start, and what the operator can do about it.

Pure: lines in, two sentences out. The order matters: the first entry that matches decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_REGION = (
    "Set a region: export AWS_REGION=eu-central-1 (yours), or AWS_PROFILE to a profile that has one, "
    "or EKS_AUTH_MODE=kubeconfig."
)
_REMEDIES: tuple[tuple[str, str], ...] = (
    (r"must specify a region|NoRegionError", _REGION),
    (
        r"config profile .* could not be found|ProfileNotFound",
        "Set AWS_PROFILE to one that `aws configure list-profiles` shows.",
    ),
    (r"Unable to locate credentials|NoCredentialsError", "Log in to AWS, or set AWS_PROFILE, then start again."),
    (r"ExpiredToken|token .*expired|SSO.*expired", "The AWS session is over: log in again (aws sso login)."),
    (r"Partial credentials", "Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither."),
    (r"kube-?config|KUBECONFIG", "Set KUBECONFIG to a readable file with a current context."),
    (
        r"bad interpreter|No such file or directory: .*python",
        "Its Python is gone. Run: mcpwatch upstream install {name}",
    ),
    (
        r"ModuleNotFoundError|ImportError|No module named",
        "Its environment is broken. Run: mcpwatch upstream install {name}",
    ),
    (r"env: .?node.?: No such file", "Install Node 20 or newer."),
    (r"EBADENGINE|Unsupported engine|SyntaxError: .*(import|token)", "It needs a newer Node (20 or later)."),
    (
        r"npm (ERR!|error)|E404|ENOTFOUND|EAI_AGAIN",
        "npm could not get the package. Run: mcpwatch upstream install {name}",
    ),
    (
        r"No solution found|Failed to (fetch|resolve)|error: Failed to download",
        "uvx could not get the package: is the network there?",
    ),
    (
        r"not a directory|ENOENT|Cannot access directory|NoSuchPath|does not exist",
        "Give a folder that exists, after --.",
    ),
    (r"Invalid ?Git|not a valid Git repository|not a git repository", "Give a Git repository: -- --repository PATH"),
    (r"dubious ownership", "Git refuses a repository of another user: git config --global --add safe.directory PATH"),
    (r"Permission denied|EACCES", "The file may not be read or run by this user."),
    (r"Address already in use|EADDRINUSE", "The port is taken by another program."),
)

_FRAME = re.compile(r"^(\s|Traceback |During handling|The above exception|\^|~|\||\+|[-=]{3,})")
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d[ T][\d:.,Z+-]+\s*(\|\s*)?|\[\d{4}[^\]]*\]\s*)")


def last_line(stderr: Sequence[str]) -> str:
    """The line that says what went wrong: the last one that is neither blank nor part of a trace, without its time."""
    for line in reversed(stderr):
        if line.strip() and not _FRAME.match(line):
            return _STAMP.sub("", line).strip()
    return ""


def remedy_for(stderr: Sequence[str], preset: str | None = None) -> str:
    """What the operator can do, "" when nothing is known. `preset` completes the commands that are named."""
    text = "\n".join(stderr[-200:])
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text, re.IGNORECASE):
            if "{name}" in remedy and preset is None:
                return "Check the command: its environment or package is not complete."
            return remedy.format(name=preset or "")
    return ""


def explain(stderr: Sequence[str], *, exit_code: int | None, preset: str | None = None) -> tuple[str, str]:
    """(error, remedy) of an upstream that ended before it answered. `exit_code` is None while it still runs."""
    ended = "It did not answer" if exit_code is None else f"It ended with code {exit_code}"
    return last_line(stderr) or ended, remedy_for(stderr, preset)
