"""What an operator can do about the last words of a server that died."""

from __future__ import annotations

import re
from collections.abc import Sequence

_REMEDIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy)
    for pattern, remedy in (
        (
            r"specify a region|NoRegionError|region\b.{0,40}\b(?:not set|missing|required|not configured)",
            "Set AWS_REGION, for example with --env AWS_REGION=us-east-1.",
        ),
        (
            r"ProfileNotFound|config profile .{0,80} could not be found",
            "Set AWS_PROFILE to a profile that exists, or unset it.",
        ),
        (
            r"Unable to locate credentials|NoCredentials|ExpiredToken|credentials? (?:have|has) expired",
            "Sign in to AWS, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ),
        (r"kube-?config", "Set KUBECONFIG to a file that exists and can be read."),
        (
            r"ModuleNotFoundError|No module named|Cannot find module|ERR_MODULE_NOT_FOUND",
            "Install the server again; a part of it is missing.",
        ),
        (r"requires? node|Unsupported engine|SyntaxError: Unexpected token", "Start it with a newer Node.js."),
        (r"ENOTFOUND|EAI_AGAIN|Temporary failure in name resolution", "Check the network; a name was not found."),
        (r"Permission denied|EACCES", "Let this user read and run the server's files."),
        (r"No such file or directory|ENOENT", "Give paths that exist on this machine."),
        (r"usage:|unrecognized arguments|unknown option", "Check the arguments after the program's name."),
    )
)


def remedy_for(lines: Sequence[str]) -> str:
    """The first remedy whose sign is in the last lines of a stderr, else ""."""
    text = " ".join(lines)
    return next((remedy for sign, remedy in _REMEDIES if sign.search(text)), "")
