#!/usr/bin/env python3
"""Runs a command and makes an animated SVG of what it printed, as in a terminal: `make recording`.

    docs/record.py docs/demo.svg -- COMMAND ARGUMENT...

The lines come when they came, but for pauses, which are cut to a second. An SVG without animation, as in a converter or
where less motion is preferred, shows the end. A command that fails leaves no file.
"""

import re
import subprocess
import sys
import time
from xml.sax.saxutils import escape

COLUMNS, ROWS = 112, 24
CELL, LINE, MARGIN = 7.8, 18, 14
LONGEST_PAUSE, LAST_PAUSE = 1.0, 8.0

STYLE = """
    text { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 13px; fill: #d1d7e0; white-space: pre; }
    .screen { fill: #151b23; stroke: #3d444d; }
    .title { fill: #9198a1; }
    .time { fill: #656c76; } .who { fill: #4493f8; }
    .bad { fill: #f85149; } .good { fill: #3fb950; font-weight: bold; } .rule { fill: #e3b341; }"""

# The first that fits colours the rest of a line.
COLOURS = [
    (re.compile(r"SIGKILL|SIGSTOP|zombie|stops working"), "bad"),
    (re.compile(r"^ *[\d.]+ s .*(crash rule|into its queue|SIGCONT)"), "rule"),
    (re.compile(r"^0 violations"), "good"),
]


def recorded(command):
    """The lines of the command's output, each with the time at which it is shown."""
    lines, shown, before = [], 0.0, time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for line in process.stdout:
            now = time.monotonic()
            shown += min(now - before, LONGEST_PAUSE)
            before = now
            text = line.rstrip("\n")
            lines += [(shown, text[at:at + COLUMNS]) for at in range(0, max(len(text), 1), COLUMNS)]
            print(text, flush=True)
    if process.returncode != 0:
        sys.exit(f"record: the command has failed with {process.returncode}")
    return lines


def coloured(text):
    """A line as spans. Lines of the demo begin with a time and a name."""
    head = re.match(r"( *[\d.]+ s)(  )(\S+ *)", text)
    rest = text[head.end():] if head else text
    kind = next((name for pattern, name in COLOURS if pattern.search(text)), None)
    spans = [("time", head[1]), (None, head[2]), ("who", head[3])] if head else []
    spans.append((kind, rest))
    return "".join(
        f'<tspan class="{kind}">{escape(span)}</tspan>' if kind else escape(span) for kind, span in spans if span)


def drawn(lines, title):
    width, height = COLUMNS * CELL + 2 * MARGIN, (ROWS + 1) * LINE + 2 * MARGIN
    whole = lines[-1][0] + LAST_PAUSE
    # Lines lie below each other. Each step moves them up, so that the newest is the last one on the screen.
    steps = {0.0: ROWS}
    for count, (shown, _) in enumerate(lines, 1):
        steps[round(100 * shown / whole, 3)] = ROWS - count
    frames = "\n".join(
        f"      {at:g}% {{ transform: translateY({rows * LINE}px); }}" for at, rows in sorted(steps.items()))
    end = (ROWS - len(lines)) * LINE
    texts = "\n".join(
        f'      <text x="{MARGIN}" y="{(at + 1) * LINE - 4}" textLength="{len(text) * CELL:.1f}">{coloured(text)}</text>'
        for at, (_, text) in enumerate(lines) if text)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="title">
  <title id="title">{escape(title)}</title>
  <style>{STYLE}
    .lines {{ transform: translateY({end}px); }}
    @media (prefers-reduced-motion: no-preference) {{ .lines {{ animation: scroll {whole:.1f}s step-end infinite; }} }}
    @keyframes scroll {{
{frames}
    }}
  </style>
  <clipPath id="screen"><rect x="0" y="{LINE + MARGIN}" width="{width:g}" height="{ROWS * LINE + 4}"/></clipPath>
  <rect class="screen" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>
  <text class="title" x="{MARGIN}" y="{MARGIN + 8}">$ {escape(title)}</text>
  <g clip-path="url(#screen)"><g transform="translate(0 {LINE + MARGIN})">
    <g class="lines" xml:space="preserve">
{texts}
    </g>
  </g></g>
</svg>
"""


def main():
    file, dashes, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    if dashes != "--" or not command:
        sys.exit(__doc__)
    lines = recorded(command)
    with open(file, "w", encoding="utf-8") as svg:
        svg.write(drawn(lines, "make demo"))


if __name__ == "__main__":
    main()
