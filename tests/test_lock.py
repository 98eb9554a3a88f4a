"""One gateway per instance and state folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.lock import InstanceLock


def test_a_second_holder_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with InstanceLock(tmp_path, "default"), pytest.raises(ConfigError, match=rf"pid {os.getpid()}"):
        InstanceLock(tmp_path, "default")


def test_a_lock_can_be_taken_again_after_it_was_released(tmp_path: Path) -> None:
    InstanceLock(tmp_path, "default").release()
    with InstanceLock(tmp_path, "default"):
        pass


def test_instances_do_not_lock_each_other_out(tmp_path: Path) -> None:
    with InstanceLock(tmp_path, "a"), InstanceLock(tmp_path, "b"):
        pass
