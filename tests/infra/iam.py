"""Who may do what in the stack: roles, the policies of resources, and that nothing is public."""

import json

from template import SOURCE, named, of_type, routes

# What the transform gives by itself. Each is a policy of AWS's own and reaches every resource of its kind.
MANAGED = {
    "service-role/AWSLambdaBasicExecutionRole": "log lines; the role of a function that is not yet there cannot name its streams",
    "AWSXrayWriteOnlyAccess": "traces, which have no ARN",
    "service-role/AWSLambdaDynamoDBExecutionRole": "the event source mapping reads the outbox's stream",
}
OF_EVERY_FUNCTION = {"service-role/AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
# Rows and no tables; no Scan either, and nothing in batches that is written.
ROWS = {
    f"dynamodb:{action}Item" for action in ("BatchGet", "ConditionCheck", "Delete", "Get", "Put", "Update")
} | {"dynamodb:Query"}
# What a function may do beside its tables, to which resource of the stack or to which of the wide ones below.
OTHERS = {
    "secretsmanager:GetSecretValue": "KeyRing",
    "sqs:SendMessage": "DeadLetters",
    "ses:SendEmail": "wide",
    "sns:Publish": "wide",
}
# The resources that are not one of the stack's, each with its reason.
WIDE = {
    "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:configuration-set/${Name}": "one, but not always the stack's own",
    "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*": "sender, its domain, in the sandbox the recipient",
    "all but arn:${AWS::Partition}:sns:*:*:*": "phone numbers, which have no ARN",
}
# A function's resource policy may have so many bytes.
RESOURCE_POLICY = 20_480


def elements(value):
    """A list, or what stands for a list of one."""
    return value if isinstance(value, list) else [value]


def resources(statement):
    """What a statement is about: logical ids, and the wide resources as WIDE writes them."""
    for resource in elements(statement.get("Resource", [])):
        pattern = resource.get("Fn::Sub") if isinstance(resource, dict) else resource
        yield named(resource) or (pattern[0] if isinstance(pattern, list) else pattern)
    for resource in elements(statement.get("NotResource", [])):
        yield f"all but {resource['Fn::Sub']}"


def statement_faults(statement, tables):
    """What is wrong with one statement of a function's role."""
    if statement["Effect"] != "Allow" or "NotAction" in statement or "Condition" in statement:
        yield f"is not understood: {statement}"
    for action in elements(statement["Action"]):
        for resource in resources(statement):
            if action in ROWS and resource in tables:
                continue
            if OTHERS.get(action) == resource or (OTHERS.get(action) == "wide" and resource in WIDE):
                continue
            yield f"may {action} on {resource}"


def role_faults(stack):
    """Each function has a role of its own that holds its policy in template.yaml and what SAM adds, no more."""
    roles = of_type(stack, "AWS::IAM::Role")
    tables = of_type(stack, "AWS::DynamoDB::Table")
    worker = {"Deliver": {"service-role/AWSLambdaDynamoDBExecutionRole"}}
    for function, it in of_type(stack, "AWS::Lambda::Function").items():
        if named(it["Properties"]["Role"]) != f"{function}Role":
            yield f"{function} has the role of another"
            continue
        role = roles.pop(f"{function}Role")["Properties"]
        if role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] != {"Service": ["lambda.amazonaws.com"]}:
            yield f"the role of {function} is not for Lambda alone"
        managed = {arn.split(":policy/")[1] for arn in role["ManagedPolicyArns"]}
        if managed != OF_EVERY_FUNCTION | worker.get(function, set()):
            yield f"{function} has the managed policies {sorted(managed)}"
        given = [one for policy in role.get("Policies", []) for one in policy["PolicyDocument"]["Statement"]]
        for fault in (fault for statement in given for fault in statement_faults(statement, tables)):
            yield f"{function} {fault}"
        properties = SOURCE["Resources"][function]["Properties"]
        written = [one for policy in properties.get("Policies", []) for one in policy["Statement"]]
        added = [one for one in given if one not in written]
        if [one for one in written if one not in given]:
            yield f"{function} lost a statement"
        if added and not (function == "Deliver" and all(one["Action"] == "sqs:SendMessage" for one in added)):
            yield f"SAM gave {function} {added}"
    if list(roles) != ["ApiLogRoleMade"]:
        yield f"there are other roles: {list(roles)}"


def key_faults(stack):
    """Whoever is told where the keys are may read them, and nobody else."""
    for function, it in of_type(stack, "AWS::Lambda::Function").items():
        told = it["Properties"]["Environment"]["Variables"]["GATEHOUSE_SECRET_ARN"]["Fn::If"][1]
        policies = of_type(stack, "AWS::IAM::Role")[f"{function}Role"]["Properties"].get("Policies", [])
        reads = "secretsmanager:GetSecretValue" in json.dumps(policies)
        if (named(told) == "KeyRing") != reads:
            yield f"{function} is told of the keys as {told} and {'may' if reads else 'may not'} read them"


def targets():
    """The function behind each method of each path."""
    for path, methods in routes().items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            if integration["type"] == "aws_proxy":
                uri = integration["uri"]["Fn::Sub"]
                yield f"{method} {path}", uri.split("/functions/${")[1].split(".Arn}")[0]


def rendered(permission):
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


def permission_faults(stack):
    """Whatever a route or an event leads to may be called, by that alone, within the limit of a policy."""
    callers, sizes = {}, {}
    for name, it in of_type(stack, "AWS::Lambda::Permission").items():
        permission = it["Properties"]
        function, source = named(permission["FunctionName"]), permission.get("SourceArn", "")
        callers.setdefault(function, []).append(permission["Principal"])
        sizes[function] = sizes.get(function, 100) + rendered({**permission, "FunctionName": {"Ref": function}})
        ours = named(source) == "DeliverEachMinute" or source.get("Fn::Sub", "").endswith(":${Api}/*")
        if permission["Action"] != "lambda:InvokeFunction" or not ours:
            yield f"{name} lets others in"
    for function in of_type(stack, "AWS::Lambda::Function"):
        caller = "events.amazonaws.com" if function == "Deliver" else "apigateway.amazonaws.com"
        if callers.get(function) != [caller]:
            yield f"{function} can be called by {callers.get(function)}"
    for route, function in targets():
        if "apigateway.amazonaws.com" not in callers.get(function, []):
            yield f"{route}: the gateway may not call {function}"
    largest = max(sizes.values())
    print(f"largest resource policy: about {largest:,} bytes of {RESOURCE_POLICY:,}")
    if largest > RESOURCE_POLICY:
        yield f"a resource policy of about {largest} bytes"


def public_faults(stack):
    """No resource is open to everybody but the API itself."""
    for kind in ("AWS::Lambda::Url", "AWS::Lambda::LayerVersionPermission", "AWS::S3::Bucket", "AWS::SNS::TopicPolicy"):
        yield from (f"{name}: a {kind} has no place here" for name in of_type(stack, kind))
    for name, it in of_type(stack, "AWS::SQS::QueuePolicy").items():
        for statement in it["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Principal"] != {"Service": "events.amazonaws.com"} or "Condition" not in statement:
                yield f"{name} lets others in"
    if '"Principal": "*"' in json.dumps(stack, default=str) or '"AWS": "*"' in json.dumps(stack, default=str):
        yield "somebody is everybody"


def faults(stack):
    """Everything that is wrong."""
    for judge in (role_faults, key_faults, permission_faults, public_faults):
        yield from judge(stack)
