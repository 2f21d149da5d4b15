"""Who may do what in the stack: roles, the policies of resources, and that nothing is public."""

import json

from template import SOURCE, logical_id, of_type, routes

# What the transform gives by itself. Each is a policy of AWS's own and reaches every resource of its kind.
MANAGED_POLICIES = {
    "service-role/AWSLambdaBasicExecutionRole": "log lines; the role of a function that is not yet there cannot name its streams",
    "AWSXrayWriteOnlyAccess": "traces, which have no ARN",
    "service-role/AWSLambdaDynamoDBExecutionRole": "the event source mapping reads the outbox's stream",
}
COMMON_POLICIES = {"service-role/AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
# Rows and no tables; no Scan either, and nothing in batches that is written.
ITEM_ACTIONS = {
    f"dynamodb:{action}Item" for action in ("BatchGet", "ConditionCheck", "Delete", "Get", "Put", "Update")
} | {"dynamodb:Query"}
# What a function may do beside its tables, to which resource of the stack or to which of the wide ones below.
OTHER_ACTIONS = {
    "secretsmanager:GetSecretValue": "KeyRing",
    "sqs:SendMessage": "DeadLetters",
    "ses:SendEmail": "broad",
    "sns:Publish": "broad",
}
# The resources that are not one of the stack's, each with its reason.
BROAD_RESOURCES = {
    "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:configuration-set/${Name}": "one, but not always the stack's own",
    "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*": "sender, its domain, in the sandbox the recipient",
    "all but arn:${AWS::Partition}:sns:*:*:*": "phone numbers, which have no ARN",
}
# A function's resource policy may have so many bytes.
MAX_RESOURCE_POLICY_BYTES = 20_480


def elements(value):
    """A list, or what stands for a list of one."""
    return value if isinstance(value, list) else [value]


def statement_resources(statement):
    """What a statement is about: logical ids, and the wide resources as BROAD_RESOURCES writes them."""
    for resource in elements(statement.get("Resource", [])):
        pattern = resource.get("Fn::Sub") if isinstance(resource, dict) else resource
        yield logical_id(resource) or (pattern[0] if isinstance(pattern, list) else pattern)
    for resource in elements(statement.get("NotResource", [])):
        yield f"all but {resource['Fn::Sub']}"


def check_statement(statement, tables):
    """What is wrong with one statement of a function's role."""
    if statement["Effect"] != "Allow" or "NotAction" in statement or "Condition" in statement:
        yield f"is not understood: {statement}"
    for action in elements(statement["Action"]):
        for resource in statement_resources(statement):
            if action in ITEM_ACTIONS and resource in tables:
                continue
            if OTHER_ACTIONS.get(action) == resource or (OTHER_ACTIONS.get(action) == "broad" and resource in BROAD_RESOURCES):
                continue
            yield f"may {action} on {resource}"


def check_roles(stack):
    """Each function has a role of its own that holds its policy in template.yaml and what SAM adds, no more."""
    roles = of_type(stack, "AWS::IAM::Role")
    tables = of_type(stack, "AWS::DynamoDB::Table")
    worker = {"Deliver": {"service-role/AWSLambdaDynamoDBExecutionRole"}}
    for function, it in of_type(stack, "AWS::Lambda::Function").items():
        if logical_id(it["Properties"]["Role"]) != f"{function}Role":
            yield f"{function} has the role of another"
            continue
        role = roles.pop(f"{function}Role")["Properties"]
        if role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] != {"Service": ["lambda.amazonaws.com"]}:
            yield f"the role of {function} is not for Lambda alone"
        managed = {arn.split(":policy/")[1] for arn in role["ManagedPolicyArns"]}
        if managed != COMMON_POLICIES | worker.get(function, set()):
            yield f"{function} has the managed policies {sorted(managed)}"
        given = [one for policy in role.get("Policies", []) for one in policy["PolicyDocument"]["Statement"]]
        for problem in (problem for statement in given for problem in check_statement(statement, tables)):
            yield f"{function} {problem}"
        properties = SOURCE["Resources"][function]["Properties"]
        written = [one for policy in properties.get("Policies", []) for one in policy["Statement"]]
        added = [one for one in given if one not in written]
        if [one for one in written if one not in given]:
            yield f"{function} lost a statement"
        if added and not (function == "Deliver" and all(one["Action"] == "sqs:SendMessage" for one in added)):
            yield f"SAM gave {function} {added}"
    if list(roles) != ["ApiLogRoleMade"]:
        yield f"there are other roles: {list(roles)}"


def check_key_ring(stack):
    """Whoever is told where the keys are may read them, and nobody else."""
    for function, it in of_type(stack, "AWS::Lambda::Function").items():
        told = it["Properties"]["Environment"]["Variables"]["GATEHOUSE_SECRET_ARN"]["Fn::If"][1]
        policies = of_type(stack, "AWS::IAM::Role")[f"{function}Role"]["Properties"].get("Policies", [])
        reads = "secretsmanager:GetSecretValue" in json.dumps(policies)
        if (logical_id(told) == "KeyRing") != reads:
            yield f"{function} is told of the keys as {told} and {'may' if reads else 'may not'} read them"


def route_functions():
    """The function behind each method of each path."""
    for path, methods in routes().items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            if integration["type"] == "aws_proxy":
                uri = integration["uri"]["Fn::Sub"]
                yield f"{method} {path}", uri.split("/functions/${")[1].split(".Arn}")[0]


def permission_size(permission):
    """About what a permission becomes in a function's resource policy."""
    text = json.dumps(
        {
            "Sid": "gatehouse-production-" + permission["FunctionName"]["Ref"] + "Permission-0123456789ABCDEF",
            "Effect": "Allow",
            "Principal": {"Service": permission["Principal"]},
            "Action": permission["Action"],
            "Resource": "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:" + "f" * 64,
            "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws-us-gov:execute-api:us-gov-west-1:" + "x" * 40}},
        }
    )
    return len(text)


def check_permissions(stack):
    """Whatever a route or an event leads to may be called, by that alone, within the limit of a policy."""
    callers, sizes = {}, {}
    for name, it in of_type(stack, "AWS::Lambda::Permission").items():
        permission = it["Properties"]
        function, source = logical_id(permission["FunctionName"]), permission.get("SourceArn", "")
        callers.setdefault(function, []).append(permission["Principal"])
        sizes[function] = sizes.get(function, 100) + permission_size({**permission, "FunctionName": {"Ref": function}})
        ours = logical_id(source) == "DeliverEachMinute" or source.get("Fn::Sub", "").endswith(":${Api}/*")
        if permission["Action"] != "lambda:InvokeFunction" or not ours:
            yield f"{name} lets others in"
    for function in of_type(stack, "AWS::Lambda::Function"):
        caller = "events.amazonaws.com" if function == "Deliver" else "apigateway.amazonaws.com"
        if callers.get(function) != [caller]:
            yield f"{function} can be called by {callers.get(function)}"
    for route, function in route_functions():
        if "apigateway.amazonaws.com" not in callers.get(function, []):
            yield f"{route}: the gateway may not call {function}"
    largest = max(sizes.values())
    print(f"largest resource policy: about {largest:,} bytes of {MAX_RESOURCE_POLICY_BYTES:,}")
    if largest > MAX_RESOURCE_POLICY_BYTES:
        yield f"a resource policy of about {largest} bytes"


def check_public(stack):
    """No resource is open to everybody but the API itself."""
    for kind in ("AWS::Lambda::Url", "AWS::Lambda::LayerVersionPermission", "AWS::S3::Bucket", "AWS::SNS::TopicPolicy"):
        yield from (f"{name}: a {kind} has no place here" for name in of_type(stack, kind))
    for name, it in of_type(stack, "AWS::SQS::QueuePolicy").items():
        for statement in it["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Principal"] != {"Service": "events.amazonaws.com"} or "Condition" not in statement:
                yield f"{name} lets others in"
    if '"Principal": "*"' in json.dumps(stack, default=str) or '"AWS": "*"' in json.dumps(stack, default=str):
        yield "somebody is everybody"


def check(stack):
    """Everything that is wrong."""
    for check_part in (check_roles, check_key_ring, check_permissions, check_public):
        yield from check_part(stack)
