"""Programs that stand in for upstream servers: small scripts, run as real processes."""

from __future__ import annotations

import sys
from pathlib import Path

GOOD = """
import json, os, sys
print("not a message", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "stub", "version": "7"}}
    elif message["params"].get("cursor"):
        result = {"tools": [{"name": "second"}]}
    else:
        result = {"tools": [{"name": "first"}], "nextCursor": "x"}
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}), flush=True)
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
sys.exit(1)
"""

MODERN = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        answer["error"] = {"code": -32022, "message": "modern only", "data": {"supported": ["2026-07-28"]}}
    elif message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] != "2026-07-28":
        answer["error"] = {"code": -32602, "message": "no version"}
    elif message["method"] == "server/discover":
        stamp = {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "1"}}
        answer["result"] = {"supportedVersions": ["2026-07-28"], "_meta": stamp, "resultType": "complete"}
    else:
        answer["result"] = {"tools": [{"name": "only"}], "resultType": "complete"}
    print(json.dumps(answer), flush=True)
"""

NO_REGION = """
import sys
sys.stderr.write('Traceback (most recent call last):\\n  File "x.py", line 1, in f\\n    raise\\n    ^^^^\\n')
sys.stderr.write('Exception: Failed to create boto3 client for ec2: You must specify a region.\\n')
sys.exit(1)
"""

TELLTALE = """
import os, sys
sys.stderr.write('login failed for ' + os.environ['AWS_SECRET_ACCESS_KEY'] + '\\n')
sys.exit(3)
"""

SILENT = "import sys\nfor line in sys.stdin: pass\n"


def script(folder: Path, name: str, body: str, interpreter: str = sys.executable) -> Path:
    """An executable file that runs `body`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{interpreter}\n{body}")
    path.chmod(0o755)
    return path
