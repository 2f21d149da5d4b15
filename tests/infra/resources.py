"""Checks the resources and parameters of the stack: AWS limits, the API, logs, tables, alarms, parameters."""

import json
import re

from template import ROOT, SOURCE, logical_id, of_type, routes

CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
# Variables with these words would put access tokens, usernames, e-mail addresses or IP addresses into the access log.
PRIVATE_FIELDS = ("identity", "path}", "$context.path", "query", "header", "authorizer", "requestOverride")


def check_limits(stack):
    """The stack must stay within the limits of AWS."""
    segments = {
        "/" + "/".join(path.split("/")[1 : n + 1]) for path in routes() for n in range(1, path.count("/") + 1)
    }
    functions = of_type(stack, "AWS::Lambda::Function")
    variables = SOURCE["Globals"]["Function"]["Environment"]["Variables"]
    sizes = {
        "resources": (len(stack["Resources"]), 499),
        "parameters": (len(stack["Parameters"]), 200),
        "outputs": (len(stack["Outputs"]), 200),
        "resources of the API": (len(segments), 299),
        "bytes of the template": (len(json.dumps(stack, default=str)), 1_000_000),
        # Half of Lambda's limit of 4 kB is reserved for the values that the operator sets.
        "bytes of names in the environment": (sum(len(name) for name in variables), 2048),
        "metrics in one alarm": (
            max(
                len(it["Properties"].get("Metrics", [])) - 1
                for it in of_type(stack, "AWS::CloudWatch::Alarm").values()
            ),
            10,
        ),
        "characters of an output": (
            max(len(json.dumps(it["Value"])) for it in stack["Outputs"].values()),
            1024,
        ),
        "seconds until a function times out": (
            max(it["Properties"]["Timeout"] for name, it in functions.items() if name != "Deliver"),
            28,
        ),
    }
    for what, (size, most) in sizes.items():
        print(f"{what}: {size:,} of {most:,}")
        if size > most:
            yield f"{size} {what}, {most} are allowed"


def check_api(stack):
    """Every path must respond to OPTIONS with a mock integration in text mode, and have a function for every other method."""
    body = of_type(stack, "AWS::ApiGateway::RestApi")["Api"]["Properties"]["Body"]
    for path, methods in body["paths"].items():
        mock = methods.get("options", {}).get("x-amazon-apigateway-integration", {})
        modes = (
            mock.get("contentHandling"),
            mock.get("responses", {}).get("default", {}).get("contentHandling"),
        )
        if mock.get("type") != "mock" or modes != ("CONVERT_TO_TEXT", "CONVERT_TO_TEXT"):
            yield f"OPTIONS {path} has no mock integration in text mode: {mock}"
        missing = {"delete", "get", "head", "patch", "post", "put"} - methods.keys()
        if missing:
            yield f"{path} has no function for {sorted(missing)}"
    stage = of_type(stack, "AWS::ApiGateway::Stage")["ApivStage"]["Properties"]
    if stage["TracingEnabled"] or stage["MethodSettings"][0]["DataTraceEnabled"]:
        yield "API Gateway must not record query strings or bodies"
    log = stage["AccessLogSetting"]
    if logical_id(log["DestinationArn"]) != "AccessLogs" or not json.loads(log["Format"])["route"]:
        yield "the access log must go to AccessLogs and contain the route"
    yield from (f"the access log must not contain {word}" for word in PRIVATE_FIELDS if word in log["Format"])
    for firewall in of_type(stack, "AWS::WAFv2::WebACL").values():
        for part in [firewall["Properties"], *firewall["Properties"]["Rules"]]:
            if part["VisibilityConfig"]["SampledRequestsEnabled"]:
                yield "the WAF must not store sampled requests"


def check_logs(stack):
    """Log groups must expire, and every function must log to the stack's own log group."""
    for name, it in of_type(stack, "AWS::Logs::LogGroup").items():
        if logical_id(it["Properties"].get("RetentionInDays")) != "LogRetention":
            yield f"{name} does not use the parameter LogRetention"
    for name, it in of_type(stack, "AWS::Lambda::Function").items():
        if logical_id(it["Properties"]["LoggingConfig"]["LogGroup"]) != "Logs":
            yield f"{name} does not log to Logs"
        if it["Properties"]["TracingConfig"] != {"Mode": "Active"}:
            yield f"{name} must have active tracing"


def check_retention(stack):
    """Data that cannot be recreated must survive a deletion of the stack and bad writes. All other data must expire."""
    for name, it in of_type(stack, "AWS::DynamoDB::Table").items():
        table, is_permanent = it["Properties"], name == "Accounts"
        recovery = table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False)
        expires = table.get("TimeToLiveSpecification", {}).get("Enabled", False)
        if table["BillingMode"] != "PAY_PER_REQUEST":
            yield f"{name} must use the billing mode PAY_PER_REQUEST"
        if (recovery, table.get("DeletionProtectionEnabled", False), not expires) != (
            is_permanent,
            is_permanent,
            is_permanent,
        ):
            yield f"{name}: wrong point-in-time recovery ({recovery}), deletion protection or expiry ({expires})"
    for name, it in stack["Resources"].items():
        kept = name in ("Accounts", "KeyRing", "ApiLogRoleMade", "ApiLogSettings")
        policies = {it.get("DeletionPolicy", "Delete"), it.get("UpdateReplacePolicy", "Delete")}
        if policies != {"Retain" if kept else "Delete"}:
            yield f"{name}: wrong DeletionPolicy or UpdateReplacePolicy: {policies}"


def check_alarms(stack):
    """Every alarm must notify the topic and be documented, and the widgets of the dashboard must not overlap."""
    for name, it in of_type(stack, "AWS::CloudWatch::Alarm").items():
        if [logical_id(action) for action in it["Properties"]["AlarmActions"]] != ["Alarms"]:
            yield f"{name} does not notify the topic Alarms"
        if f"`{name}`" not in OPERATIONS:
            yield f"docs/operations.md does not document {name}"
    for it in of_type(stack, "AWS::CloudWatch::Dashboard").values():
        widgets = json.loads(it["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]
        places = {(one["x"], one["y"]) for one in widgets}
        if len(places) != len(widgets) or any(one["x"] + one["width"] > 24 for one in widgets):
            yield "widgets of the dashboard overlap or exceed its width"


def check_parameters(stack):
    """Every parameter must have a description, be in one group, and accept its own default and that of its setting."""
    interface = stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in interface for name in group["Parameters"]]
    if sorted(grouped) != sorted(stack["Parameters"]):
        yield f"parameters in no group or in several: {set(grouped) ^ set(stack['Parameters'])}"
    defaults = dict(re.findall(r"^\| `GATEHOUSE_(\w+)` \| `([^`]*)`", CONFIGURATION, re.MULTILINE))
    if not defaults:
        yield "docs/configuration.md: the table of settings has no defaults"
    defaults = {name.title().replace("_", "").lower(): value for name, value in defaults.items()}
    checked = 0
    for name, it in stack["Parameters"].items():
        if not it.get("Description"):
            yield f"{name} has no description"
        pattern = it.get("AllowedPattern")
        if not pattern:
            # A regular expression may be any text, so it has no pattern.
            restricted = it["Type"] != "String" or "AllowedValues" in it
            if not restricted and "egular expression" not in it.get("Description", ""):
                yield f"{name} has neither AllowedPattern nor AllowedValues"
            continue
        for value in (it.get("Default"), defaults.get(name.lower())):
            checked += value is not None
            if value is not None and not re.fullmatch(pattern, str(value)):
                yield f"the pattern of {name} does not match the default {value}"
    print(f"defaults checked against patterns: {checked}")


def check(stack):
    """Yields all problems."""
    checks = (check_limits, check_api, check_logs, check_retention, check_alarms, check_parameters)
    for check_part in checks:
        yield from check_part(stack)
