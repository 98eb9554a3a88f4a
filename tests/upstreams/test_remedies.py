"""The last words of servers that died, as the real ones write them."""

from __future__ import annotations

import pytest

from mcpwatch.upstreams.remedies import explain, last_line, remedy_for


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("botocore.exceptions.NoRegionError: You must specify a region.", "AWS_REGION"),
        (
            "Exception: Failed to create boto3 client for ec2: The config profile (nope) could not be found",
            "AWS_PROFILE",
        ),
        ("botocore.exceptions.NoCredentialsError: Unable to locate credentials", "Log in to AWS"),
        ("ModuleNotFoundError: No module named 'mcp'", "mcpwatch upstream install eks"),
        ("Error: ENOENT: no such file or directory, stat '/nope'", "folder that exists"),
        ("npm error 404 Not Found - GET https://registry.npmjs.org/x", "mcpwatch upstream install eks"),
        ("/usr/bin/env: 'node': No such file or directory", "Install Node"),
        ("fatal: detected dubious ownership in repository at '/x'", "safe.directory"),
    ],
)
def test_known_last_words_have_a_remedy(line: str, hint: str) -> None:
    assert hint in remedy_for([line], "eks")


def test_without_a_preset_no_command_is_named_that_would_not_work() -> None:
    assert "mcpwatch upstream install" not in remedy_for(["ModuleNotFoundError: No module named 'x'"])


def test_unknown_last_words_have_none() -> None:
    assert remedy_for(["all is well"], "eks") == ""


def test_the_line_that_counts_is_neither_blank_nor_part_of_a_trace() -> None:
    lines = [
        "2026-11-22 09:57:00.106 | ERROR | it broke",
        "  File x",
        "    ^^^^^",
        "",
        "Traceback (most recent call last):",
    ]
    assert last_line(lines) == "ERROR | it broke"
    assert last_line([]) == ""


def test_a_silent_end_is_told_by_its_code() -> None:
    assert explain([], exit_code=3)[0] == "It ended with code 3"
    assert explain([], exit_code=None)[0] == "It did not answer"
