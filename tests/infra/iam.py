"""Checks the IAM roles and resource policies of the stack."""

import json

from template import SOURCE, logical_id, of_type, routes

# The AWS managed policies that the SAM transform attaches, each with the reason. They are not limited to resources of
# the stack.
MANAGED_POLICIES = {
    "service-role/AWSLambdaBasicExecutionRole": "writing logs; the role is created before the function, so it cannot name its log streams",
    "AWSXrayWriteOnlyAccess": "sending traces, which have no ARN",
    "service-role/AWSLambdaDynamoDBExecutionRole": "the event source mapping reads the stream of the outbox table",
}
COMMON_POLICIES = {"service-role/AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
# Actions on items only, not on tables; without Scan and BatchWriteItem.
ITEM_ACTIONS = {
    f"dynamodb:{action}Item" for action in ("BatchGet", "ConditionCheck", "Delete", "Get", "Put", "Update")
} | {"dynamodb:Query"}
# The other permitted actions, each with its resource in the stack, or "broad" for one of BROAD_RESOURCES.
OTHER_ACTIONS = {
    "secretsmanager:GetSecretValue": "KeyRing",
    "sqs:SendMessage": "DeadLetters",
    "ses:SendEmail": "broad",
    "sns:Publish": "broad",
}
# The permitted resources that do not belong to the stack, each with the reason.
BROAD_RESOURCES = {
    "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:configuration-set/${Name}": "a single configuration set, which may belong to another stack",
    "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*": "the sender address, its domain and, in the SES sandbox, the recipient",
    "all but arn:${AWS::Partition}:sns:*:*:*": "phone numbers, which have no ARN; all topics are excluded",
}
# The statement that every function must have: otherwise Lambda creates the log group again after the stack has deleted
# it, and the next deployment fails.
NO_LOG_GROUPS = {"Effect": "Deny", "Action": ["logs:CreateLogGroup"], "Resource": "*"}
# The only function that everyone may invoke through a URL. It requires a secret of its own.
PUBLIC_FUNCTION = "Oauth2Introspect"
# The permissions of a function URL without authentication by IAM, which must depend on a homeserver.
URL_PERMISSIONS = (
    {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
)
HOMESERVER = "HomeserverIsGiven"
# Lambda's limit for the resource policy of a function.
MAX_RESOURCE_POLICY_BYTES = 20_480


def elements(value):
    """Returns a list; IAM allows a single value instead of a list of one."""
    return value if isinstance(value, list) else [value]


def statement_resources(statement):
    """Yields the resources of a statement: logical IDs, or other resources in the notation of BROAD_RESOURCES."""
    for resource in elements(statement.get("Resource", [])):
        pattern = resource.get("Fn::Sub") if isinstance(resource, dict) else resource
        yield logical_id(resource) or (pattern[0] if isinstance(pattern, list) else pattern)
    for resource in elements(statement.get("NotResource", [])):
        yield f"all but {resource['Fn::Sub']}"


def check_statement(statement, tables):
    """Yields the problems of one statement in the role of a function."""
    if statement == NO_LOG_GROUPS:
        return
    if statement["Effect"] != "Allow" or "NotAction" in statement or "Condition" in statement:
        yield f"has a statement that this check does not support: {statement}"
    for action in elements(statement["Action"]):
        for resource in statement_resources(statement):
            if action in ITEM_ACTIONS and resource in tables:
                continue
            if OTHER_ACTIONS.get(action) == resource or (
                OTHER_ACTIONS.get(action) == "broad" and resource in BROAD_RESOURCES
            ):
                continue
            yield f"must not have {action} on {resource}"


def check_roles(stack):
    """Each function must have a role of its own with its policy from template.yaml and what SAM adds, and nothing else."""
    roles = of_type(stack, "AWS::IAM::Role")
    tables = of_type(stack, "AWS::DynamoDB::Table")
    additional = {"Deliver": {"service-role/AWSLambdaDynamoDBExecutionRole"}}
    for function, it in of_type(stack, "AWS::Lambda::Function").items():
        if logical_id(it["Properties"]["Role"]) != f"{function}Role":
            yield f"{function} uses the role of another function"
            continue
        role = roles.pop(f"{function}Role")["Properties"]
        if role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] != {
            "Service": ["lambda.amazonaws.com"]
        }:
            yield f"the role of {function} can be assumed by others than Lambda"
        managed = {arn.split(":policy/")[1] for arn in role["ManagedPolicyArns"]}
        if managed != COMMON_POLICIES | additional.get(function, set()):
            yield f"{function} has the managed policies {sorted(managed)}"
        given = [one for policy in role.get("Policies", []) for one in policy["PolicyDocument"]["Statement"]]
        for problem in (problem for statement in given for problem in check_statement(statement, tables)):
            yield f"{function} {problem}"
        if NO_LOG_GROUPS not in given:
            yield f"{function} must not create log groups"
        properties = SOURCE["Resources"][function]["Properties"]
        written = [one for policy in properties.get("Policies", []) for one in policy["Statement"]]
        added = [one for one in given if one not in written]
        if [one for one in written if one not in given]:
            yield f"the role of {function} lacks a statement of template.yaml"
        if added and not (function == "Deliver" and all(one["Action"] == "sqs:SendMessage" for one in added)):
            yield f"SAM added statements to the role of {function}: {added}"
    if list(roles) != ["ApiLogRoleMade"]:
        yield f"unexpected roles: {list(roles)}"


def check_key_ring(stack):
    """A function may read the key ring if and only if its environment has the ARN of the key ring."""
    for function, it in of_type(stack, "AWS::Lambda::Function").items():
        arn = it["Properties"]["Environment"]["Variables"]["GATEHOUSE_SECRET_ARN"]["Fn::If"][1]
        policies = of_type(stack, "AWS::IAM::Role")[f"{function}Role"]["Properties"].get("Policies", [])
        reads = "secretsmanager:GetSecretValue" in json.dumps(policies)
        if (logical_id(arn) == "KeyRing") != reads:
            yield f"{function} has GATEHOUSE_SECRET_ARN {arn} and {'may' if reads else 'must not'} read the key ring"


def route_functions():
    """Yields each method and path with the function that serves it."""
    for path, methods in routes().items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            if integration["type"] == "aws_proxy":
                uri = integration["uri"]["Fn::Sub"]
                yield f"{method} {path}", uri.split("/functions/${")[1].split(".Arn}")[0]


def permission_size(permission):
    """Estimates the bytes that a permission takes in the resource policy of its function."""
    text = json.dumps(
        {
            "Sid": "gatehouse-production-"
            + permission["FunctionName"]["Ref"]
            + "Permission-0123456789ABCDEF",
            "Effect": "Allow",
            "Principal": {"Service": permission["Principal"]},
            "Action": permission["Action"],
            "Resource": "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:" + "f" * 64,
            "Condition": {
                "ArnLike": {"AWS:SourceArn": "arn:aws-us-gov:execute-api:us-gov-west-1:" + "x" * 40}
            },
        }
    )
    return len(text)


def is_url_permission(permission):
    """Whether a permission, with its condition, is one of those of the public function URL."""
    given = {name: value for name, value in permission["Properties"].items() if name not in ("FunctionName", "Principal")}
    return (
        given in URL_PERMISSIONS
        and permission.get("Condition") == HOMESERVER
        and logical_id(permission["Properties"]["FunctionName"]) == PUBLIC_FUNCTION
    )


def check_permissions(stack):
    """Only API Gateway may invoke a function, besides the schedule for `deliver` and everyone for the function with the
    public URL. The resource policy of each function must fit the limit."""
    callers, sizes = {}, {}
    for name, it in of_type(stack, "AWS::Lambda::Permission").items():
        permission = it["Properties"]
        function, source = logical_id(permission["FunctionName"]), permission.get("SourceArn", "")
        callers.setdefault(function, []).append(permission["Principal"])
        sizes[function] = sizes.get(function, 100) + permission_size(
            {**permission, "FunctionName": {"Ref": function}}
        )
        if permission["Principal"] == "*":
            if not is_url_permission(it):
                yield f"{name} permits everyone more than the use of the function URL of {PUBLIC_FUNCTION}"
            continue
        is_expected = logical_id(source) == "DeliverEachMinute" or source.get("Fn::Sub", "").endswith(
            ":${Api}/*"
        )
        if permission["Action"] != "lambda:InvokeFunction" or not is_expected:
            yield f"{name} permits more than lambda:InvokeFunction from the API or the schedule"
    for function in of_type(stack, "AWS::Lambda::Function"):
        caller = "events.amazonaws.com" if function == "Deliver" else "apigateway.amazonaws.com"
        expected = [caller, *("*" for _ in URL_PERMISSIONS if function == PUBLIC_FUNCTION)]
        if sorted(callers.get(function, [])) != sorted(expected):
            yield f"{function} can be invoked by {callers.get(function)} instead of {expected}"
    for route, function in route_functions():
        if "apigateway.amazonaws.com" not in callers.get(function, []):
            yield f"{route}: API Gateway must have permission to invoke {function}"
    largest = max(sizes.values())
    print(f"largest resource policy: about {largest:,} bytes of {MAX_RESOURCE_POLICY_BYTES:,}")
    if largest > MAX_RESOURCE_POLICY_BYTES:
        yield f"a resource policy has about {largest} bytes, {MAX_RESOURCE_POLICY_BYTES} are allowed"


def check_public(stack):
    """Only the API may be public, and the URL of one function if there is a homeserver."""
    for name, it in of_type(stack, "AWS::Lambda::Url").items():
        target = logical_id(it["Properties"]["TargetFunctionArn"])
        if (target, it.get("Condition")) != (PUBLIC_FUNCTION, HOMESERVER):
            yield f"{name}: {target} must not have a URL, or not without a homeserver"
    for kind in (
        "AWS::Lambda::LayerVersionPermission",
        "AWS::S3::Bucket",
        "AWS::SNS::TopicPolicy",
    ):
        yield from (f"{name}: resources of the type {kind} are not allowed" for name in of_type(stack, kind))
    for name, it in of_type(stack, "AWS::SQS::QueuePolicy").items():
        for statement in it["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Principal"] != {"Service": "events.amazonaws.com"} or "Condition" not in statement:
                yield f"{name} permits other principals than events.amazonaws.com, or has no condition"
    # `check_permissions` checks the permissions of functions.
    policies = [it for it in stack["Resources"].values() if it["Type"] != "AWS::Lambda::Permission"]
    if '"Principal": "*"' in json.dumps(policies, default=str) or '"AWS": "*"' in json.dumps(policies, default=str):
        yield "a policy has the principal `*`"


def check(stack):
    """Yields all problems."""
    for check_part in (check_roles, check_key_ring, check_permissions, check_public):
        yield from check_part(stack)
