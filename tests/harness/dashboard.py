"""dashboard.py DASHBOARD METRICS RULES: whether a Grafana dashboard is whole, as far as that shows without
Grafana. METRICS is what a running hub says; RULES becomes a file of rules, one for each expression, for
`promtool check rules` to parse. Prints what is wrong, and exits 1."""

import json
import os
import re
import sys

SOURCE_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COLUMNS = 24
PANEL_MEMBERS = {"id", "type", "title", "gridPos"}
DASHBOARD_MEMBERS = {"title", "uid", "schemaVersion", "panels", "templating", "time", "refresh"}
PANEL_TYPES = {"row", "timeseries", "stat", "table"}
FROM_OUTSIDE = {"instance", "job", "le", "method"}  # labels of Prometheus' own, and beside `route`
BUILT_IN = {"__rate_interval", "__all"}
OTHERS_METRICS = {"up"}


def families(metrics_path):
    """{name: type} of what the hub has."""
    with open(metrics_path, encoding="utf-8") as file:
        return dict(re.findall(r"^# TYPE (\S+) (\S+)$", file.read(), re.MULTILINE))


def labels():
    with open(os.path.join(SOURCE_DIR, "hub", "metrics.h"), encoding="utf-8") as header:
        table = header.read().split("#define LABEL_TABLE(X)")[1].split("\n\n")[0]
    return set(re.findall(r'X\(\w+, "(\w+)"\)', table)) | FROM_OUTSIDE


def series_names(known):
    """All that an expression may ask for."""
    names = set(OTHERS_METRICS)
    for name, kind in known.items():
        names |= {name + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names


def expressions(dashboard):
    """(where, expression) of panels and annotations."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]


def check_expression(where, text, names, label_names):
    wrong = []
    bare = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    for name in re.findall(r"\b(?:fleethub_\w+|up)\b", bare):
        if name not in names:
            wrong.append(f"{where}: the hub has no {name}")
    used = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*""', bare)
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare):
        used += [name.strip() for name in group.split(",") if name.strip()]
    wrong += [f"{where}: no metric has the label {name}" for name in used if name not in label_names]
    if "fleethub_" in text and "$instance" not in text and "sum(" not in text:
        wrong.append(f"{where}: all hubs alike, whichever is chosen: {text}")
    return wrong


def overlap(a, b):
    return (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and
            a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"])


def check_layout(panels):
    wrong, places = [], []
    ids = [panel.get("id") for panel in panels]
    if len(set(ids)) != len(ids):
        wrong.append("two panels have one id")
    for panel in panels:
        title, missing = panel.get("title"), PANEL_MEMBERS - set(panel)
        if missing:
            wrong.append(f"{title}: without {', '.join(sorted(missing))}")
            continue
        place = panel["gridPos"]
        if place["x"] + place["w"] > COLUMNS:
            wrong.append(f"{title} is wider than the page")
        wrong += [f"{title} lies over {other}" for other, taken in places if overlap(place, taken)]
        places.append((title, place))
        if panel["type"] not in PANEL_TYPES:
            wrong.append(f"{title}: no panel of Grafana's own is a {panel['type']}")
        if panel["type"] != "row" and (not panel.get("targets") or
                                       panel.get("datasource", {}).get("uid") != "${datasource}"):
            wrong.append(f"{title}: without a query, or not of the chosen data source")
    return wrong


def check_variables(dashboard, text):
    known = {variable["name"] for variable in dashboard["templating"]["list"]} | BUILT_IN
    used = set(re.findall(r"\$\{?(\w+)", text))
    return [f"the variable ${name} is not there" for name in sorted(used - known)]


def main():
    path, metrics_path, rules_path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    dashboard = json.loads(text)
    wrong = [f"the dashboard has no {name}" for name in sorted(DASHBOARD_MEMBERS - set(dashboard))]
    wrong += check_layout(dashboard["panels"]) + check_variables(dashboard, text)
    known, label_names = families(metrics_path), labels()
    rules, asked = [], set()
    for number, (where, expression) in enumerate(expressions(dashboard)):
        wrong += check_expression(where, expression, series_names(known), label_names)
        asked |= set(re.findall(r"fleethub_\w+", expression))
        plain = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
        rules.append({"record": f"dashboard:{number}", "expr": plain.replace("$job", "fleethub")})
    shown = {name for name in known if any(one.startswith(name) for one in asked)}
    wrong += [f"no panel shows {name}" for name in sorted(set(known) - shown)]
    with open(rules_path, "w", encoding="utf-8") as file:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
    for line in wrong:
        print("dashboard: " + line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
