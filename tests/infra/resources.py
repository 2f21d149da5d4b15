"""Checks the resources and parameters of the stack: AWS limits, the API, logs, retention, alarms, parameters."""

import json
import re
from re import _parser as re_parser

import yaml
from template import ROOT, SOURCE, logical_id, of_type, routes

CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
# The resources that are retained when the stack is deleted. CloudFormation deletes those with RetainExceptOnCreate if
# the deployment that created them fails, because a retained resource with a fixed name prevents the next attempt.
RETAINED = {
    "Accounts": "RetainExceptOnCreate",
    "KeyRing": "RetainExceptOnCreate",
    "MailIdentity": "RetainExceptOnCreate",
    "OAuth": "RetainExceptOnCreate",
    "ApiLogRoleMade": "Retain",
    "ApiLogSettings": "Retain",
}
# The properties with which a resource is named. CloudFormation chooses a new name if they are missing.
NAMES = ("DashboardName", "DomainName", "EmailIdentity", "LogGroupName", "Name", "QueueName", "RoleName")
NAMES += ("TableName", "TopicName", "BudgetName", "FunctionName", "AlarmName", "PolicyName")
# Variables with these words would put access tokens, usernames, e-mail addresses or IP addresses into the access log.
PRIVATE_FIELDS = ("identity", "path}", "$context.path", "query", "header", "authorizer", "requestOverride")


# The metrics of alarms that an AWS account has for free.
FREE_ALARM_METRICS = 10
# The concurrent executions of functions in a new AWS account.
NEW_ACCOUNT_EXECUTIONS = 10
HOURS_OF_A_MONTH = 730
# The longest values that are not parameters. A longer name of the stack fails at other resources, such as the SES
# configuration set.
LONGEST = {
    "AWS::StackName": 64,
    "AWS::Region": len("ap-southeast-1"),
    "AWS::URLSuffix": len("amazonaws.com.cn"),
    "MailEvents": 64,
    # With this parameter GATEHOUSE_SECRET_ARN, which is longer, is empty.
    "Secret": 0,
    "KeyRing": len("arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:KeyRing-abcdefghijkl-abcdef"),
}


def depth(value):
    """Returns the number of levels of a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0)


def check_limits(stack):
    """The stack must stay within the limits of AWS."""
    segments = {
        "/" + "/".join(path.split("/")[1 : n + 1]) for path in routes() for n in range(1, path.count("/") + 1)
    }
    functions = of_type(stack, "AWS::Lambda::Function")
    sizes = {
        "resources": (len(stack["Resources"]), 499),
        "parameters": (len(stack["Parameters"]), 200),
        "outputs": (len(stack["Outputs"]), 200),
        "resources of the API": (len(segments), 299),
        "bytes of the template": (len(yaml.safe_dump(SOURCE)), 1_000_000),
        "bytes of the transformed template": (len(json.dumps(stack)), 1_000_000),
        "levels of the transformed template": (depth(stack), 30),
        "characters of a parameter's description": (
            max(len(it.get("Description", "")) for it in stack["Parameters"].values()),
            4000,
        ),
        "characters of an output's description": (
            max(len(it["Description"]) for it in stack["Outputs"].values()),
            1024,
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
    known, variables = set(), {}
    for path, methods in body["paths"].items():
        # API Gateway ignores a trailing slash. It rejects a second variable beside the first one of a segment.
        if path.rstrip("/").lower() in known:
            yield f"{path} is another form of an earlier path"
        known.add(path.rstrip("/").lower())
        for found in re.finditer(r"\{[^}]+\}", path):
            other = variables.setdefault(path[: found.start()], found.group())
            if other != found.group():
                yield f"{path} has {found.group()} where another path has {other}"
        headers = methods.get("options", {}).get("responses", {}).get("200", {}).get("headers", {})
        for header, definition in headers.items():
            if definition != {"schema": {"type": "string"}}:
                yield f"OPTIONS {path}: SAM makes {definition} of the header {header}"
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
    for kind in ("DEFAULT_5XX", "THROTTLED", "WAF_FILTERED"):
        response = body["x-amazon-apigateway-gateway-responses"][kind]
        if "gatewayresponse.header.Retry-After" not in response["responseParameters"]:
            yield f"the response {kind} has no Retry-After"
    condition, log, otherwise = stage["AccessLogSetting"]["Fn::If"]
    if condition != "AccessIsLogged" or otherwise != {"Ref": "AWS::NoValue"}:
        yield "the access log must be optional, because it needs a role that belongs to the whole AWS account"
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
        log = it["Properties"]["LoggingConfig"]
        if logical_id(log["LogGroup"]) != "Logs":
            yield f"{name} does not log to Logs"
        # Lambda's own lines at INFO (three for each invocation) would cost more than those of the function.
        if log["LogFormat"] != "JSON" or log.get("SystemLogLevel") != "WARN":
            yield f"{name}: Lambda must log its own events at WARN, which needs the format JSON"
        if it["Properties"]["TracingConfig"] != {"Mode": {"Ref": "Tracing"}}:
            yield f"{name} must be traced as the parameter Tracing says"


def check_retention(stack):
    """Data that cannot be recreated must survive a deletion of the stack and bad writes. All other data must expire."""
    for name, it in of_type(stack, "AWS::DynamoDB::Table").items():
        table, is_permanent = it["Properties"], name == "Accounts"
        recovery = table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False)
        # A table that is protected when it is created cannot be deleted if the first deployment fails.
        protection = table.get("DeletionProtectionEnabled", False)
        if protection not in (False, {"Fn::If": ["AccountsAreProtected", True, False]}):
            yield f"{name}: DeletionProtection must turn its protection on"
        expires = table.get("TimeToLiveSpecification", {}).get("Enabled", False)
        if table["BillingMode"] != "PAY_PER_REQUEST":
            yield f"{name} must use the billing mode PAY_PER_REQUEST"
        if (recovery, bool(protection), not expires) != (
            is_permanent,
            is_permanent,
            is_permanent,
        ):
            yield f"{name}: wrong point-in-time recovery ({recovery}), deletion protection or expiry ({expires})"
    for name, it in stack["Resources"].items():
        expected = (RETAINED.get(name, "Delete"), "Retain" if name in RETAINED else "Delete")
        policies = (it.get("DeletionPolicy", "Delete"), it.get("UpdateReplacePolicy", "Delete"))
        if policies != expected:
            yield f"{name}: DeletionPolicy and UpdateReplacePolicy are {policies} instead of {expected}"
        if policies[0] == "Retain" and any(it.get("Properties", {}).get(key) for key in NAMES):
            yield f"{name} has a fixed name and stays after a failed first deployment, which prevents the next one"
    # The names of dashboards and budgets are unique in all regions of an account, those of other resources in one.
    for it in of_type(stack, "AWS::CloudWatch::Dashboard").values():
        if "${AWS::Region}" not in json.dumps(it["Properties"]["DashboardName"]):
            yield "the dashboards of equal stacks in two regions would have the same name"
    for it in of_type(stack, "AWS::Budgets::Budget").values():
        if "BudgetName" in it["Properties"]["Budget"]:
            yield "a budget with a fixed name cannot be replaced, which every change of its notifications requires"
    for name, value in {"DeletionProtection": "off", "ApiLogRole": "none", "Tracing": "PassThrough"}.items():
        if stack["Parameters"][name]["Default"] != value:
            yield f"the default of {name} must be {value}, as a first deployment needs it"


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


def maximum_cost():
    """Returns the highest cost of requests in a month at the default throttle, as computed in docs/costs.md."""
    page = (ROOT / "docs/costs.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- generated: ceiling -->\n(.*?)<!-- /generated", page, re.DOTALL)[1]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return max(int(cells[-1].replace(",", "")) for cells in rows if not cells[0].startswith("in addition"))


def check_costs(stack):
    """A stack without requests must cost less than $0.70 a month, and the default throttle must cap the cost of requests."""
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    read = {
        name: sum("MetricStat" in one for one in it["Properties"].get("Metrics", [])) or 1
        for name, it in alarms.items()
    }
    always = sum(metrics for name, metrics in read.items() if "Condition" not in alarms[name])
    print(f"metrics that alarms read: {always}, with every optional feature {sum(read.values())}")
    if max(read.values()) > 1:
        yield f"an alarm reads several metrics, each of which has a price: {read}"
    # The alarm that goes off without data must read a metric of AWS, since a metric that is always written has a price.
    for name, it in alarms.items():
        if it["Properties"]["TreatMissingData"] == "breaching" and it["Properties"]["Namespace"] == "Gatehouse":
            yield f"{name} needs a metric that is written all the time, which costs $0.30 a month"
    secrets = len(of_type(stack, "AWS::SecretsManager::Secret"))
    minutes = 60 * HOURS_OF_A_MONTH
    schedule = minutes * (0.20 / 1e6 + 0.125 / 1e6)
    fixed = secrets * 0.40 + schedule + max(sum(read.values()) - FREE_ALARM_METRICS, 0) * 0.10
    print(f"fixed cost with every optional feature: ${fixed:.2f} a month")
    if fixed >= 0.70:
        yield f"a stack without requests costs ${fixed:.2f} a month"
    rate, burst = (stack["Parameters"][name] for name in ("ApiRate", "ApiBurst"))
    if burst["Default"] > NEW_ACCOUNT_EXECUTIONS:
        yield f"ApiBurst exceeds the {NEW_ACCOUNT_EXECUTIONS} executions of a new account, whose excess gets 5xx"
    gateway = 3600 * HOURS_OF_A_MONTH * 3.50 / 1e6
    most = maximum_cost()
    words = f"${gateway:.2f} at API Gateway"
    said = re.search(rf"so {rate['Default']} cost at most \$(\d+)", rate["Description"])
    if words not in rate["Description"] or not said:
        yield f"the description of ApiRate must say {words!r} and what {rate['Default']} cost at most"
    elif not most <= int(said[1]) <= 1.3 * most:
        yield f"the description of ApiRate says at most ${said[1]}, docs/costs.md ${most}"


def longest(value):
    """Returns the largest number of characters that the value of an environment variable can have."""
    if isinstance(value, str):
        return len(value)
    ((function, argument),) = value.items()
    if function == "Fn::If":
        return max(longest(branch) for branch in argument[1:])
    if function == "Fn::Sub":
        parts = re.split(r"\$\{([\w:]+)\}", argument)
        return sum(len(part) if at % 2 == 0 else longest({"Ref": part}) for at, part in enumerate(parts))
    if argument in LONGEST:
        return LONGEST[argument]
    parameter = SOURCE["Parameters"][argument]
    pattern = re_parser.parse(parameter.get("AllowedPattern", ".*")).getwidth()[1]
    return min(int(pattern), parameter.get("MaxLength", 4096))


def check_environments(stack):
    """The environment of a function is limited to 4 kB, and an update that exceeds it fails."""
    everywhere = SOURCE["Globals"]["Function"]["Environment"]["Variables"]
    largest = 0
    for name, it in SOURCE["Resources"].items():
        if it["Type"] != "AWS::Serverless::Function":
            continue
        own = it["Properties"].get("Environment", {}).get("Variables", {})
        size = sum(len(key) + longest(value) for key, value in {**everywhere, **own}.items())
        largest = max(largest, size)
        if size > 4096:
            yield f"the environment of {name} can have {size:,} of 4,096 bytes"
    print(f"bytes of an environment with the longest values: {largest:,} of 4,096")
    if {"Ref": "Terms"} in everywhere.values():
        yield "Terms must be given only to the functions that show the policies"


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
    checks = (check_limits, check_environments, check_api, check_logs, check_retention)
    checks += (check_alarms, check_costs, check_parameters)
    for check_part in checks:
        yield from check_part(stack)
