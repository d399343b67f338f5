"""deploy/compose: the schema, and whether its files agree with each other."""

import pathlib
import re
import shutil
import tempfile
import tomllib

from frame import DRAIN_SECONDS, hold


def schema(site):
    schema = ("--builtin-schema", "vendor.compose-spec")
    site.python_tool("check-jsonschema", *schema, "deploy/compose/compose.yaml")
    return "compose-spec"


def facts(site):
    folder = site.root / "deploy/compose"
    [document] = site.yaml("deploy/compose/compose.yaml")
    missing = set()
    for name, service in document["services"].items():
        image = service["image"]
        hold(re.search(r":v?\d+\.\d+\.\d+(-debug)?$", image), f"{name}: {image} has no version")
        hold(re.match(r"[1-9]\d*:", service["user"]), f"{name}: runs as {service['user']}")
        hold(service["cap_drop"] == ["ALL"] and service["read_only"], f"{name}: not hardened")
        hold("healthcheck" in service, f"{name}: no health check")
        for port in service["ports"]:
            hold(port.startswith("127.0.0.1:"), f"{name}: port {port} is open to others")
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            if not source.startswith("."):
                hold(source in document["volumes"], f"{name}: no volume {source}")
                continue
            path = (folder / source).resolve()
            if not path.exists():
                missing.add(str(path.relative_to(site.root.resolve())))
            hold(target.startswith("/"), f"{name}: {volume}")
    ours = document["services"]["weighbridge"]
    hold(int(ours["stop_grace_period"].rstrip("s")) > DRAIN_SECONDS, "stop_grace_period")
    # Variables that compose.yaml reads and .env.example does not name, or the other way round.
    read = set(re.findall(r"\$\{(\w+)", site.read("deploy/compose/compose.yaml")))
    named = set(re.findall(r"^(\w+)=$", site.read("deploy/compose/.env.example"), re.MULTILINE))
    hold(read == named, f".env.example: {sorted(read ^ named)}")
    # Until they are merged; then everything has to be there.
    dashboards = (site.root / "dashboards").exists()
    absent = {name for name in missing if dashboards or not name.startswith("dashboards")}
    hold(not absent, f"mounted, but not there: {sorted(absent)}")
    note = f", NOT YET THERE: {', '.join(sorted(missing))}" if missing else ""
    return f"{len(document['services'])} services{note}"


def contents(site):
    """Grafana's and Jaeger's files agree with compose.yaml and with the dashboards."""
    [document] = site.yaml("deploy/compose/compose.yaml")
    services = document["services"]
    [sources] = site.yaml("deploy/compose/grafana/datasources/weighbridge.yaml")
    for source in sources["datasources"]:
        host = re.match(r"http://(\w+):\d+$", source["url"])
        hold(host and host[1] in services, f"{source['name']}: {source['url']}")
        hold(source["type"] == source["uid"], f"{source['name']}: type and uid")
    uids_ = {source["uid"] for source in sources["datasources"]}
    hold(uids_ == {"prometheus", "jaeger"}, f"data sources: {uids_}")
    [provider] = site.yaml("deploy/compose/grafana/dashboards/weighbridge.yaml")
    path = provider["providers"][0]["options"]["path"]
    mounts = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    hold(path in mounts, f"no volume is mounted at {path}")
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    hold(home.startswith(f"{path}/"), f"home dashboard {home}")
    boards = site.root / "dashboards/grafana"
    if boards.exists():
        hold((boards / home.rsplit("/", 1)[1]).exists(), f"no {home}")
    [jaeger] = site.yaml("deploy/compose/jaeger.yaml")
    for kind in ("receivers", "processors", "exporters"):
        for name in jaeger["service"]["pipelines"]["traces"][kind]:
            hold(name in jaeger[kind], f"jaeger.yaml: no {kind} {name}")
    used = set(jaeger["service"]["extensions"])
    hold(used == set(jaeger["extensions"]), f"jaeger.yaml: extensions {used}")
    backends = jaeger["extensions"]["jaeger_storage"]["backends"]
    store = jaeger["exporters"]["jaeger_storage_exporter"]["trace_storage"]
    read = jaeger["extensions"]["jaeger_query"]["storage"]["traces"]
    hold(store in backends and read in backends, "jaeger.yaml: no such storage")
    hold(jaeger["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318"), "OTLP")
    return "Grafana's sources and dashboards, Jaeger's pipeline"


def prometheus(site):
    """What Prometheus reads is mounted, and whom it calls is in the stack."""
    [document] = site.yaml("deploy/compose/compose.yaml")
    services = document["services"]
    mounts = [volume.split(":")[1] for volume in services["prometheus"]["volumes"]]
    [settings] = site.yaml("deploy/compose/prometheus.yml")
    for path in settings["rule_files"]:
        hold(path in mounts, f"{path} is not mounted")
    calls = settings["alerting"]["alertmanagers"] + settings["scrape_configs"]
    targets = [target for call in calls for one in call["static_configs"]
               for target in one["targets"]]
    for target in targets:
        hold(target.split(":")[0] in services, f"{target} is no service")
    [ours] = [call for call in settings["scrape_configs"] if call["job_name"] == "weighbridge"]
    listen = tomllib.loads(site.read("deploy/compose/weighbridge.toml"))["listen"]
    port = listen["telemetry"].rsplit(":", 1)[1]
    hold(ours["static_configs"] == [{"targets": [f"weighbridge:{port}"]}], "weighbridge's target")
    rules = site.root / "dashboards/prometheus"
    if shutil.which("promtool") is None or not rules.exists():
        return f"{len(targets)} targets; not by promtool"
    with tempfile.TemporaryDirectory() as folder:
        # Where the container has them.
        text = site.read("deploy/compose/prometheus.yml").replace("/etc/prometheus/", "")
        (pathlib.Path(folder) / "prometheus.yml").write_text(text)
        for path in settings["rule_files"]:
            shutil.copy(rules / path.rsplit("/", 1)[1], folder)
        site.run("promtool", "check", "config", f"{folder}/prometheus.yml")
    return f"{len(targets)} targets; promtool"
