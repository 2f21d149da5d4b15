"""The rest of the stack's shape: limits of AWS, the API, logs, tables, alarms, parameters."""

import json
import re

from template import ROOT, SOURCE, logical_id, of_type, routes

README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
# Whatever holds these in an access log would hold tokens, names or people's addresses.
PRIVATE_FIELDS = ("identity", "path}", "$context.path", "query", "header", "authorizer", "requestOverride")


def check_limits(stack):
    """AWS takes no more than so much."""
    segments = {"/" + "/".join(path.split("/")[1 : n + 1]) for path in routes() for n in range(1, path.count("/") + 1)}
    functions = of_type(stack, "AWS::Lambda::Function")
    variables = SOURCE["Globals"]["Function"]["Environment"]["Variables"]
    sizes = {
        "resources": (len(stack["Resources"]), 499),
        "parameters": (len(stack["Parameters"]), 200),
        "outputs": (len(stack["Outputs"]), 200),
        "resources of the API": (len(segments), 299),
        "bytes of the template": (len(json.dumps(stack, default=str)), 1_000_000),
        # Half of Lambda's 4 kB stays for what an operator sets.
        "bytes of names in the environment": (sum(len(name) for name in variables), 2048),
        "metrics in one alarm": (
            max(len(it["Properties"].get("Metrics", [])) - 1 for it in of_type(stack, "AWS::CloudWatch::Alarm").values()),
            10,
        ),
        "characters of an output": (max(len(json.dumps(it["Value"])) for it in stack["Outputs"].values()), 1024),
        "seconds that a caller waits": (max(it["Properties"]["Timeout"] for name, it in functions.items() if name != "Deliver"), 28),
    }
    for what, (size, most) in sizes.items():
        print(f"{what}: {size:,} of {most:,}")
        if size > most:
            yield f"{size} {what}"


def check_api(stack):
    """Every path answers OPTIONS itself, as text both ways, and has a function for the rest."""
    body = of_type(stack, "AWS::ApiGateway::RestApi")["Api"]["Properties"]["Body"]
    for path, methods in body["paths"].items():
        mock = methods.get("options", {}).get("x-amazon-apigateway-integration", {})
        ways = (mock.get("contentHandling"), mock.get("responses", {}).get("default", {}).get("contentHandling"))
        if mock.get("type") != "mock" or ways != ("CONVERT_TO_TEXT", "CONVERT_TO_TEXT"):
            yield f"OPTIONS {path}: {mock}"
        without = {"delete", "get", "head", "patch", "post", "put"} - methods.keys()
        if without:
            yield f"{path} has no function for {sorted(without)}"
    stage = of_type(stack, "AWS::ApiGateway::Stage")["ApivStage"]["Properties"]
    if stage["TracingEnabled"] or stage["MethodSettings"][0]["DataTraceEnabled"]:
        yield "the gateway records queries or bodies"
    log = stage["AccessLogSetting"]
    if logical_id(log["DestinationArn"]) != "AccessLogs" or not json.loads(log["Format"])["route"]:
        yield "the access log is not what it was"
    yield from (f"the access log holds {word}" for word in PRIVATE_FIELDS if word in log["Format"])
    for firewall in of_type(stack, "AWS::WAFv2::WebACL").values():
        for seen in [firewall["Properties"], *firewall["Properties"]["Rules"]]:
            if seen["VisibilityConfig"]["SampledRequestsEnabled"]:
                yield "the firewall shows requests"


def check_logs(stack):
    """Logs are forgotten some day, and every function writes to ours."""
    for name, it in of_type(stack, "AWS::Logs::LogGroup").items():
        if logical_id(it["Properties"].get("RetentionInDays")) != "LogRetention":
            yield f"{name} is kept for ever"
    for name, it in of_type(stack, "AWS::Lambda::Function").items():
        if logical_id(it["Properties"]["LoggingConfig"]["LogGroup"]) != "Logs":
            yield f"{name} logs elsewhere"
        if it["Properties"]["TracingConfig"] != {"Mode": "Active"}:
            yield f"{name} is not traced"


def check_retention(stack):
    """What cannot be made again outlives the stack, its slips and a bad write; what expires does not."""
    for name, it in of_type(stack, "AWS::DynamoDB::Table").items():
        table, keeps = it["Properties"], name == "Accounts"
        recovery = table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False)
        expires = table.get("TimeToLiveSpecification", {}).get("Enabled", False)
        if table["BillingMode"] != "PAY_PER_REQUEST":
            yield f"{name} is not paid by request"
        if (recovery, table.get("DeletionProtectionEnabled", False), not expires) != (keeps, keeps, keeps):
            yield f"{name}: recovery {recovery}, expiry {expires}"
    for name, it in stack["Resources"].items():
        kept = name in ("Accounts", "KeyRing", "ApiLogRoleMade", "ApiLogSettings")
        policies = {it.get("DeletionPolicy", "Delete"), it.get("UpdateReplacePolicy", "Delete")}
        if policies != {"Retain" if kept else "Delete"}:
            yield f"{name}: {policies}"


def check_alarms(stack):
    """Every alarm tells somebody who can read what to do, and the dashboard is one."""
    for name, it in of_type(stack, "AWS::CloudWatch::Alarm").items():
        if [logical_id(action) for action in it["Properties"]["AlarmActions"]] != ["Alarms"]:
            yield f"{name} tells nobody"
        if f"`{name}`" not in OPERATIONS:
            yield f"docs/operations.md does not say what to do about {name}"
    for it in of_type(stack, "AWS::CloudWatch::Dashboard").values():
        widgets = json.loads(it["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]
        places = {(one["x"], one["y"]) for one in widgets}
        if len(places) != len(widgets) or any(one["x"] + one["width"] > 24 for one in widgets):
            yield "the dashboard's widgets overlap"


def check_parameters(stack):
    """Every parameter is explained, in one group, and takes its own default and that of the setting."""
    interface = stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in interface for name in group["Parameters"]]
    if sorted(grouped) != sorted(stack["Parameters"]):
        yield f"not in one group: {set(grouped) ^ set(stack['Parameters'])}"
    defaults = dict(re.findall(r"^\| `GATEHOUSE_(\w+)` \| `([^`]*)`", README, re.MULTILINE))
    defaults = {name.title().replace("_", "").lower(): value for name, value in defaults.items()}
    checked = 0
    for name, it in stack["Parameters"].items():
        if not it.get("Description"):
            yield f"{name} is not described"
        pattern = it.get("AllowedPattern")
        if not pattern:
            # What is an expression may be any text.
            restricted = it["Type"] != "String" or "AllowedValues" in it
            if not restricted and "egular expression" not in it.get("Description", ""):
                yield f"{name} takes anything"
            continue
        for value in (it.get("Default"), defaults.get(name.lower())):
            checked += value is not None
            if value is not None and not re.fullmatch(pattern, str(value)):
                yield f"{name} refuses its default {value}"
    print(f"patterns tried on defaults: {checked}")


def check(stack):
    """Everything that is wrong."""
    checks = (check_limits, check_api, check_logs, check_retention, check_alarms, check_parameters)
    for check_part in checks:
        yield from check_part(stack)
