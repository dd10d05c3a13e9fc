"""Runs the programs of docs/other-languages.md, each with DATABASE_URL. Go needs Debian's packages."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent / "../../docs/other-languages.md"
# How each language runs a file.
COMMANDS = {
    "python": [sys.executable, "snippet.py"],
    "js": ["node", "snippet.js"],
    "go": ["go", "run", "snippet.go"],
    "sh": ["bash", "snippet.sh"],
}
AT_LEAST = 6


def main() -> None:
    blocks = re.findall(r"^([^\n]+):\n\n```(python|js|go|sh)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    failed = 0
    for title, language, source in blocks:
        with tempfile.TemporaryDirectory() as folder:
            command = COMMANDS[language]
            Path(folder, command[-1]).write_text(source)
            environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            failed += 1
            print(f"FAILED snippet {title}: {done.stdout}{done.stderr}")
    if len(blocks) < AT_LEAST:
        failed += 1
        print(f"FAILED snippets: the page has only {len(blocks)}")
    print(f"{len(blocks) - failed} ok, {failed} FAILED")
    sys.exit(bool(failed))


main()
