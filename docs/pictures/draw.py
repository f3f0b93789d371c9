#!/usr/bin/env python3
"""Draws the pictures of the documentation.

    docs/pictures/draw.py            writes the SVG files, and inline.md, by which rustdoc inlines them
    docs/pictures/draw.py --check    fails if they are not what this would write

Each picture is a function below: boxes, texts and arrows at places on a grid of points. The colours
follow the reader's light or dark setting; every picture paints its own background.
"""
import base64, html, os, sys

FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
# What a class is: fill, line; in light and in dark.
COLOURS = {
    "paper": ("#ffffff", "#d0d7de", "#0d1117", "#30363d"),
    "plain": ("#f6f8fa", "#818b98", "#161b22", "#7d8590"),
    "layer": ("#ddf4ff", "#0969da", "#0c2d6b", "#58a6ff"),
    "pass": ("#dafbe1", "#1a7f37", "#033a16", "#3fb950"),
    "refuse": ("#ffebe9", "#cf222e", "#67060c", "#ff7b72"),
    "wait": ("#fff8c5", "#9a6700", "#4b2900", "#e3b341"),
}
INK = ("#1f2328", "#f0f6fc")
QUIET = ("#59636e", "#c9d1d9")


class Picture:
    def __init__(self, width, height, title):
        self.width, self.height, self.title = width, height, title
        self.parts = []
        self.box(0.5, 0.5, width - 1, height - 1, "paper", [], radius=8)

    def box(self, x, y, w, h, kind, lines, radius=6, top=False):
        """A box with lines of text in its middle, or at its top. The first line is bold; `~` marks a quiet line."""
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}"/>')
        first = y + 20 if top else y + h / 2 - (len(lines) - 1) * 8.5 + 4.5
        for n, line in enumerate(lines):
            bold = "b" if n == 0 else ""
            self.text(x + w / 2, first + n * 17, line, bold=bool(bold))

    def text(self, x, y, line, anchor="middle", bold=False):
        kind = "q" if line.startswith("~") else "b" if bold else "t"
        self.parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{html.escape(line.lstrip("~"))}</text>')

    def arrow(self, points, label=None, at=None, kind="plain", anchor="middle"):
        path = "M" + " L".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<path class="a {kind}-line" d="{path}" marker-end="url(#to-{kind})"/>')
        if label:
            x, y = at or ((points[0][0] + points[1][0]) / 2, points[0][1] - 6)
            for n, line in enumerate(label.split("\n")):
                self.text(x, y + n * 15, "~" + line, anchor)

    def svg(self):
        def style(light):
            pick = (lambda c: c[:2]) if light else (lambda c: c[2:])
            rules = [f".{kind}{{fill:{pick(c)[0]};stroke:{pick(c)[1]}}}" for kind, c in COLOURS.items()]
            rules += [f".{kind}-line{{stroke:{pick(c)[1]}}}.{kind}-tip{{fill:{pick(c)[1]}}}"
                      for kind, c in COLOURS.items()]
            rules += [f".t,.b{{fill:{INK[not light]}}}.q{{fill:{QUIET[not light]}}}"]
            return "".join(rules)
        tips = "".join(
            f'<marker id="to-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path class="{kind}-tip" d="M0,0 L8,4 L0,8 z"/></marker>' for kind in COLOURS)
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" font-family="{FONT}" font-size="13">',
            f"<title>{html.escape(self.title)}</title>",
            "<style>text.b{font-weight:600}text.q{font-size:12px}.a{fill:none;stroke-width:1.5}",
            style(True),
            "@media (prefers-color-scheme:dark){" + style(False) + "}</style>",
            f"<defs>{tips}</defs>",
            *self.parts,
            "</svg>", ""])


def request():
    p = Picture(860, 560, "The way of a request through the layer")
    x, w = 230, 320
    p.text(x + w / 2, 30, "request", bold=True)
    p.box(20, 44, 546, 496, "paper", [])
    p.text(34, 64, "AccountStatusLayer", "start", bold=True)
    steps = [
        (82, "layer", ["Classify the head", "~logout, OPTIONS, exempt or excluded?"]),
        (172, "layer", ["Find the credentials", "~all tokens; the accounts named in a login's body"]),
        (262, "layer", ["Ask the store", "~whose is it? in which state is the account?"]),
        (372, "layer", ["Judge", "~may it do this? the only place that refuses"]),
    ]
    p.arrow([(x + w / 2, 36), (x + w / 2, 80)])
    for y, kind, lines in steps:
        p.box(x, y, w, 52, kind, lines)
    for (y, _, _), (below, _, _) in zip(steps, steps[1:]):
        p.arrow([(x + w / 2, y + 52), (x + w / 2, below - 2)])
    p.text(x + w / 2 + 8, 343, "~restricted", "start")
    p.box(690, 82, 150, 342, "pass", ["Your router", "~answers as ever:", "~handlers, errors,", "~bodies unchanged"])
    for y, label in [(108, "yes"), (198, "none"), (288, "active or unknown"), (398, "permitted")]:
        p.arrow([(x + w, y), (688, y)], label, (573, y - 6), "pass", "start")
    p.box(40, 262, 150, 52, "wait", ["503 M_UNKNOWN", "~with Retry-After"])
    p.arrow([(x, 288), (192, 288)], "fails", (211, 281), "wait")
    p.box(40, 360, 150, 76, "refuse", ["Refused", "~401 M_USER_LOCKED", "~403 …_DEACTIVATED", "~403 …_SUSPENDED"])
    p.arrow([(x, 398), (192, 398)], kind="refuse")
    p.box(690, 464, 150, 52, "pass", ["/sync waits", "~for new events"])
    p.arrow([(765, 424), (765, 462)], kind="pass")
    p.arrow([(690, 490), (x + w / 2, 490), (x + w / 2, 426)], "its account changed:\njudged again",
            (402, 508), "wait", "start")
    return p


def nest(p, x, y, w, h, shells):
    """Boxes in one another, from the outside; each is (kind, title)."""
    for n, (kind, title) in enumerate(shells):
        inset, drop = n * 14, n * 26
        last = n == len(shells) - 1
        height = h - drop - n * 10
        if last:
            p.box(x + inset, y + drop, w - 2 * inset, height, kind, title.split("\n"))
        else:
            p.box(x + inset, y + drop, w - 2 * inset, height, kind, [title], top=True)


def placement():
    p = Picture(860, 640, "Where the layer sits: five places")
    panels = [
        (20, 16, "1  router.layer(status).layer(stack)", "refusals get the stack's headers, traces and metrics",
         [("plain", "your stack: CORS, trace, timeout"), ("layer", "AccountStatusLayer"), ("pass", "routes")]),
        (440, 16, "2  status.layer(router)", "costs least; sees every path as it was sent",
         [("layer", "AccountStatusLayer"), ("plain", "router and its layers"), ("pass", "routes")]),
        (20, 236, "3  in a nested router", "tell the layer the whole path: with_request_path",
         [("plain", "router"), ("plain", "nest at /_matrix/client/v3"), ("layer", "AccountStatusLayer"), ("pass", "routes")]),
        (440, 236, "4  in a ServiceBuilder", "where a neighbour changes bodies: with_wrapped_bodies",
         [("plain", "layers above it in the list"), ("layer", "AccountStatusLayer"), ("plain", "layers below it"), ("pass", "service")]),
    ]
    for x, y, title, note, shells in panels:
        p.text(x, y + 16, title, "start", bold=True)
        p.text(x, y + 34, "~" + note, "start")
        nest(p, x, y + 46, 400, 150, shells)
    p.text(20, 472, "5  in the gateway", "start", bold=True)
    p.text(20, 490, "~for a homeserver in any language; it must not be reachable past the gateway", "start")
    for x, w, kind, lines in [(20, 130, "plain", ["clients"]), (200, 150, "plain", ["TLS", "~nginx, HAProxy, Caddy"]),
                              (400, 200, "layer", ["account-status-gateway", "~AccountStatusLayer", "~AccountModerationLayer"]),
                              (650, 190, "pass", ["homeserver", "~says whose a token is"])]:
        p.box(x, 510, w, 76, kind, lines)
    for x in [150, 350, 600]:
        p.arrow([(x, 548), (x + 48, 548)])
    p.text(20, 616, "~Blue: the layer. Green: your handlers. Grey: everything else.", "start")
    return p


def changes():
    p = Picture(860, 500, "What reaches whom when a lock is set")
    p.box(20, 190, 130, 60, "plain", ["moderator", "~or your server"])
    p.box(210, 180, 150, 80, "plain", ["database", "~1  the lock is", "~committed"])
    p.arrow([(150, 220), (208, 220)], "lock", (179, 213))
    for top, title in [(20, "the process that made the change"), (276, "another process")]:
        p.box(420, top, 420, 204, "paper", [])
        p.text(434, top + 22, title, "start", bold=True)
        p.box(440, top + 38, 150, 60, "layer", ["Changes", "~announces the user"])
        p.box(440, top + 124, 150, 60, "layer", ["cache", "~drops the entry"])
        p.box(670, top + 38, 150, 60, "wait", ["waiting /sync", "~asks again: 401"])
        p.box(670, top + 124, 150, 60, "refuse", ["next request", "~asks again: 401"])
        p.arrow([(515, top + 98), (515, top + 122)], "first", (524, top + 115), anchor="start")
        p.arrow([(590, top + 68), (668, top + 68)], "then", (629, top + 61), "wait")
        p.arrow([(590, top + 154), (668, top + 154)], "no old state", (629, top + 147), "refuse")
    p.arrow([(285, 180), (285, 88), (438, 88)], "2  announce(user)\nafter the commit", (296, 62), anchor="start")
    p.arrow([(285, 260), (285, 344), (438, 344)], "2  PostgreSQL: NOTIFY\nSQLite: the file is polled", (277, 292), anchor="end")
    p.text(20, 420, "~If a message is lost, a bound", "start")
    p.text(20, 437, "~holds: the proof of life ends", "start")
    p.text(20, 454, "~or the time to live passes, and", "start")
    p.text(20, 471, "~the database is asked again.", "start")
    return p


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    files, inline = {}, []
    for draw in (request, placement, changes):
        svg = draw().svg()
        files[draw.__name__ + ".svg"] = svg
        data = base64.b64encode(svg.encode()).decode()
        inline.append(f"[picture-{draw.__name__}]: data:image/svg+xml;base64,{data}\n")
    files["inline.md"] = "".join(inline)
    for name, text in files.items():
        path = os.path.join(folder, name)
        if "--check" in sys.argv:
            if not os.path.exists(path) or open(path).read() != text:
                sys.exit(f"{path} is not up to date: run docs/pictures/draw.py")
        else:
            with open(path, "w") as file:
                file.write(text)


main()
