"""deploy/kubernetes: schemas, builds, and what its comments promise."""

import re
import shutil
import tempfile

import yaml

from frame import DRAIN_SECONDS, Skipped, hold

# Native sidecars are on by default from here.
OLDEST = "1.29"
KUSTOMIZATIONS = ["sidecar", "sidecar-closed", "gateway"]


def manifests(site):
    names = site.yaml_files("deploy/kubernetes")
    # A kind of another project: no schema of it is among the registries' packages. See wiring().
    return [name for name in names if not name.endswith(("kustomization.yaml", "podmonitor.yaml"))]


def schemas(site):
    names = manifests(site)
    for version in ([], ["-k", OLDEST]):
        site.python_tool("kubernetes-validate", "--strict", "--quiet", *version, *names)
    return f"{len(names)} files, strict, against {OLDEST} and the newest"


def build(site, name):
    if shutil.which("kubectl") is None:
        raise Skipped("no kubectl")
    return site.run("kubectl", "kustomize", f"deploy/kubernetes/{name}")


def kustomize(site):
    count = 0
    for name in KUSTOMIZATIONS:
        text = build(site, name)
        count += len(list(yaml.safe_load_all(text)))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as built:
            built.write(text)
            built.flush()
            for version in ([], ["-k", OLDEST]):
                site.python_tool("kubernetes-validate", "--strict", "--quiet", *version, built.name)
    return f"{len(KUSTOMIZATIONS)} built, {count} objects"


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def sets_of(site):
    """Every StatefulSet of the files, by file."""
    for name in manifests(site):
        for document in site.yaml(name):
            if document["kind"] == "StatefulSet":
                yield name, document


def restricted(site):
    """The rules of the "restricted" level that a schema does not know, and what probes must be."""
    count = 0
    for name, document in sets_of(site):
        pod = document["spec"]["template"]["spec"]
        common = pod["securityContext"]
        hold(common.get("runAsNonRoot") is True, f"{name}: runAsNonRoot")
        hold(common["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: seccompProfile")
        hold(pod["automountServiceAccountToken"] is False, f"{name}: a token is mounted")
        grace = pod["terminationGracePeriodSeconds"]
        hold(grace > DRAIN_SECONDS, f"{name}: {grace} s are not more than the drain")
        for container in containers(pod):
            place, own = f"{name}: {container['name']}", container["securityContext"]
            hold(own["allowPrivilegeEscalation"] is False, f"{place}: allowPrivilegeEscalation")
            hold(own["readOnlyRootFilesystem"] is True, f"{place}: readOnlyRootFilesystem")
            hold(own["capabilities"] == {"drop": ["ALL"]}, f"{place}: capabilities")
            hold("memory" in container["resources"]["limits"], f"{place}: no memory limit")
            count += 1
            if container["name"] != "weighbridge":
                continue
            for probe, path in [("startupProbe", "/readyz"), ("livenessProbe", "/livez"),
                                ("readinessProbe", "/readyz")]:
                request = container[probe]["httpGet"]
                hold(request == {"path": path, "port": "telemetry"}, f"{place}: {probe}")
    return f"{count} containers"


def uids(site):
    """The agent is not the sidecar, and the rule lets the sidecar's uid out."""
    [document] = [one for name, one in sets_of(site) if "/sidecar/" in name]
    pod = document["spec"]["template"]["spec"]
    [sidecar] = [one for one in pod["initContainers"] if one.get("restartPolicy") == "Always"]
    [agent] = pod["containers"]
    own, other = (one["securityContext"]["runAsUser"] for one in (sidecar, agent))
    hold(own != other, f"agent and sidecar both run as {own}")
    rules = site.read("deploy/kubernetes/sidecar-closed/egress.nft")
    allowed = re.findall(r"^\s*meta skuid (\S+) accept$", rules, re.MULTILINE)
    hold(allowed == [str(own)], f"egress.nft lets {allowed} out, the sidecar is {own}")
    image = site.read("deploy/Dockerfile")
    hold(f"\nUSER {own}:{own}\n" in image, f"the image does not run as {own}")
    if shutil.which("kubectl") is not None:
        objects = yaml.safe_load_all(build(site, "sidecar-closed"))
        [closed] = [one for one in objects if one["kind"] == "StatefulSet"]
        first = closed["spec"]["template"]["spec"]["initContainers"][0]
        hold(first["name"] == "egress", f"{first['name']} runs before the rules are loaded")
        capabilities = {"add": ["NET_ADMIN"], "drop": ["ALL"]}
        hold(first["securityContext"]["capabilities"] == capabilities, "egress: capabilities")
    return f"sidecar {own}, agent {other}"


def matches(selector, labels):
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", []))


def wiring(site):
    """Selectors find pods, ports exist, and agents have one way out."""
    pods = {}
    for _, document in sets_of(site):
        template = document["spec"]["template"]
        ports = {port["name"]: port["containerPort"] for container in containers(template["spec"])
                 for port in container.get("ports", [])}
        pods[document["metadata"]["name"]] = (template["metadata"]["labels"], ports)
        hold(matches(document["spec"]["selector"], template["metadata"]["labels"]), "StatefulSet")
    [monitor] = site.yaml("deploy/kubernetes/podmonitor.yaml")
    for name, (labels, ports) in pods.items():
        hold(matches(monitor["spec"]["selector"], labels), f"podmonitor.yaml does not find {name}")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            hold(endpoint["port"] in ports, f"podmonitor.yaml: {name} has no {endpoint['port']}")
    for name in manifests(site):
        for document in site.yaml(name):
            spec = document.get("spec", {})
            if document["kind"] == "Service":
                found = [ports for labels, ports in pods.values()
                         if matches({"matchLabels": spec["selector"]}, labels)]
                hold(found, f"{name}: the service {document['metadata']['name']} finds no pod")
                for port in spec["ports"]:
                    known = all(port["targetPort"] in ports for ports in found)
                    hold(known, f"{name}: no port {port['targetPort']}")
            if document["kind"] == "PodDisruptionBudget":
                found = any(matches(spec["selector"], labels) for labels, _ in pods.values())
                hold(found, f"{name}: finds no pod")
    shut, open_ = site.yaml("deploy/kubernetes/gateway/networkpolicies.yaml")
    labels, ports = pods["weighbridge"]
    hold(shut["spec"]["podSelector"] == {}, "not every agent is meant")
    hold(shut["spec"]["policyTypes"] == ["Ingress", "Egress"], "agents: policyTypes")
    ways = []
    for rule in shut["spec"]["egress"]:
        for peer in rule["to"]:
            hold("ipBlock" not in peer, "agents may reach addresses outside of the cluster")
            to_us = matches(peer["podSelector"], labels)
            ways += [(to_us, port["protocol"], port["port"]) for port in rule["ports"]]
    wanted = [(True, "TCP", ports["api"]), (False, "UDP", 53), (False, "TCP", 53)]
    hold(ways == wanted, f"agents' ways out: {ways}")
    hold(shut["metadata"]["namespace"] != open_["metadata"]["namespace"], "one namespace")
    return "selectors, ports and ways out"
