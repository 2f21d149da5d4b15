"""Deploys the transformed template to moto's CloudFormation and compares the tables with the embedded DynamoDB's.

Usage: `deploy.py GATEHOUSE-LOCAL`.
"""

import copy
import io
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.parsers import ResponseParserError
from template import CODE, of_type, transform

REGION = "eu-central-1"
# moto does not create the methods of an API from its OpenAPI document, and cannot deploy an API without methods.
UNSUPPORTED_BY_MOTO = (
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Stage",
    "AWS::ApiGateway::BasePathMapping",
)
# The stacks to deploy: one without optional parameters, and one with all whose resources moto supports.
STACKS = {
    "plain": {},
    "all": {
        "AlarmEmail": "operator@example.org",
        "ApiLogRole": "keep",
        "DeletionProtection": "on",
        "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/a",
        "DomainName": "matrix.example.org",
        "HashConcurrency": "20",
        "HomeserverUrl": "https://matrix.example.org",
        "IntrospectionConcurrency": "10",
        "MailDomain": "example.org",
        "MailFromDomain": "bounce.example.org",
        "MailFrom": "Example <accounts@example.org>",
        "MonthlyBudget": "20",
        "SmsCountries": "DE AT",
        "WafRate": "2000",
    },
}


@contextmanager
def process(*command):
    """Runs a program during a `with` statement."""
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def moto():
    """Runs moto, which serves all AWS APIs on one port, and yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with process(
        Path(sys.executable).with_name("moto_server"), "--host", "127.0.0.1", "--port", str(port)
    ) as server:
        while server.poll() is None:
            try:
                urllib.request.urlopen(url).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url


@contextmanager
def embedded_dynamodb(program):
    """Runs the embedded DynamoDB with its tables, and yields its URL and the prefix of the table names."""
    with process(program, "services", "--dynamodb-port", "0", "--messages-port", "0") as services:
        variables = {}
        while not {"AWS_ENDPOINT_URL_DYNAMODB", "GATEHOUSE_TABLES"} <= variables.keys():
            name, value = re.fullmatch(r"export (\w+)='(.*)'\n", services.stdout.readline()).groups()
            variables[name] = value
        yield variables["AWS_ENDPOINT_URL_DYNAMODB"], variables["GATEHOUSE_TABLES"]


def client(service, url, region=REGION):
    """Returns a boto3 client with the credentials that gatehouse-local uses."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="admin",
        aws_secret_access_key="local",
    )


def upload(url, stack):
    """Uploads code and template to S3. The template is too large to be sent inline to the CloudFormation API."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("bootstrap", "")
    s3 = client("s3", url)
    if CODE["Bucket"] not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=CODE["Bucket"], CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=CODE["Bucket"], Key=CODE["Key"], Body=archive.getvalue())
    s3.put_object(Bucket=CODE["Bucket"], Key="template.json", Body=json.dumps(stack, default=str))


def deploy(url, name, parameters):
    """Creates a stack and returns its outputs."""
    cloudformation = client("cloudformation", url)
    given = {
        "ServerName": "example.org",
        "RegistrationFlows": "m.login.registration_token+m.login.dummy",
        **parameters,
    }
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=f"https://s3.amazonaws.com/{CODE['Bucket']}/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    created = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    assert created["StackStatus"] == "CREATE_COMPLETE", created
    return {output["OutputKey"]: output["OutputValue"] for output in created.get("Outputs", [])}


def fail_and_retry(url, stack):
    """Lets a first deployment fail, removes it as docs/operations.md describes, and deploys again.

    moto reports the failure in a form that boto3 cannot parse, and does not roll back: the stack keeps the state
    CREATE_IN_PROGRESS, and its resources stay.
    The deletion of the stack is the same as a rollback, because moto retains only resources with the policy `Retain`.
    CloudFormation, too, deletes those with `RetainExceptOnCreate` if they were created by the failed deployment.
    """
    name = "retry"
    broken = copy.deepcopy(stack)
    function = next(iter(of_type(stack, "AWS::Lambda::Function").values()))
    last = copy.deepcopy(function["Properties"])
    last["Code"] = {"S3Bucket": "missing", "S3Key": "missing"}
    broken["Resources"]["Last"] = {
        "Type": "AWS::Lambda::Function",
        "Properties": last,
        "DependsOn": [*of_type(stack, "AWS::DynamoDB::Table"), "KeyRing", "Logs"],
    }
    upload(url, broken)
    try:
        deploy(url, name, {})
    except ResponseParserError as error:
        assert "NoSuchBucket" in str(error), error
    else:
        raise AssertionError("the deployment must fail")
    dynamodb, cloudformation = client("dynamodb", url), client("cloudformation", url)
    tables = [it for it in dynamodb.list_tables()["TableNames"] if it.startswith(f"{name}-")]
    assert len(tables) == 6, tables
    cloudformation.delete_stack(StackName=name)
    left = [it for it in dynamodb.list_tables()["TableNames"] if it.startswith(f"{name}-")]
    assert not left, f"these tables would make the next deployment fail: {left}"
    upload(url, stack)
    deploy(url, name, {})
    print(f"{name}: a failed first deployment was removed and repeated")


def describe_table(dynamodb, name):
    """Returns the properties of a table that its users can observe."""
    table = dynamodb.describe_table(TableName=name)["Table"]
    indexes = table.get("GlobalSecondaryIndexes", [])
    return {
        "attributes": sorted(
            (one["AttributeName"], one["AttributeType"]) for one in table["AttributeDefinitions"]
        ),
        "keys": table["KeySchema"],
        "indexes": [
            (one["IndexName"], one["KeySchema"], one["Projection"]["ProjectionType"]) for one in indexes
        ],
        "stream": table.get("StreamSpecification"),
    }


def retry_first_deployment(url):
    """Asserts that a deployment succeeds after a first one that failed and was undone. No other stack may exist.

    moto deletes a stack as CloudFormation undoes a failed creation: it keeps the resources with the deletion policy
    Retain, but not those with RetainExceptOnCreate, and a table with deletion protection cannot be deleted.
    """
    deploy(url, "retried", {})
    cloudformation = client("cloudformation", url)
    cloudformation.delete_stack(StackName="retried")
    for kind, names in {
        "tables": client("dynamodb", url).list_tables()["TableNames"],
        "log groups": [
            it["logGroupName"] for it in client("logs", url).describe_log_groups()["logGroups"]
        ],
        "secrets": [it["Name"] for it in client("secretsmanager", url).list_secrets()["SecretList"]],
    }.items():
        assert not names, f"{kind} that stay after a failed first deployment: {names}"
    deploy(url, "retried", {})


def compare_tables(aws, dynamodb, stack, resources, prefix):
    """Asserts that the stack has the same tables as the embedded DynamoDB."""
    deployed, embedded = client("dynamodb", aws), client("dynamodb", dynamodb, "us-east-1")
    suffixes = [
        it["Properties"]["TableName"]["Fn::Sub"].removeprefix("${AWS::StackName}") for it in resources
    ]
    here = embedded.list_tables()["TableNames"]
    assert sorted(prefix + suffix for suffix in suffixes) == sorted(here), here
    for suffix, it in zip(suffixes, resources):
        there, here = describe_table(deployed, stack + suffix), describe_table(embedded, prefix + suffix)
        assert there == here, f"{suffix}: {there} in the stack, {here} in the embedded DynamoDB"
        # moto's CloudFormation ignores the time to live, so the embedded DynamoDB is compared with the template.
        expiry = it["Properties"].get("TimeToLiveSpecification", {}).get("AttributeName")
        here = embedded.describe_time_to_live(TableName=prefix + suffix)["TimeToLiveDescription"].get(
            "AttributeName"
        )
        assert expiry == here, (
            f"{suffix}: items expire by {expiry} in the template, by {here} in the embedded DynamoDB"
        )
    protection = deployed.describe_table(TableName=f"{stack}-accounts")["Table"]["DeletionProtectionEnabled"]
    wanted = STACKS[stack].get("DeletionProtection") == "on"
    assert protection == wanted, f"the deletion protection of {stack} is {protection}"
    return len(suffixes)


def check_functions(aws, name, count):
    """Asserts that every function exists with its settings, and that the outbox stream invokes `deliver`."""
    functions = client("lambda", aws)
    pages = functions.get_paginator("list_functions").paginate()
    found = [one for page in pages for one in page["Functions"] if one["FunctionName"].startswith(f"{name}-")]
    assert len(found) == count, f"{len(found)} functions instead of {count}"
    for one in found:
        variables = one["Environment"]["Variables"]
        assert (
            variables["GATEHOUSE_TABLES"] == name and variables["GATEHOUSE_SERVER_NAME"] == "example.org"
        ), variables
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    outbox = [mapping for mapping in mappings if f"/{name}-outbox/" in mapping["EventSourceArn"]]
    assert len(outbox) == 1 and outbox[0]["BatchSize"] == 10, mappings
    return len(found)


def main(program):
    """Runs the command line."""
    stack = transform()
    stack["Resources"] = {
        name: it for name, it in stack["Resources"].items() if it["Type"] not in UNSUPPORTED_BY_MOTO
    }
    # The other outputs refer to resources that moto does not support.
    stack["Outputs"] = {key: stack["Outputs"][key] for key in ("ApiUrl", "Tables")}
    functions = len(of_type(stack, "AWS::Lambda::Function"))
    tables = of_type(stack, "AWS::DynamoDB::Table").values()
    with moto() as aws, embedded_dynamodb(program) as (dynamodb, prefix):
        upload(aws, stack)
        retry_first_deployment(aws)
        for name, parameters in STACKS.items():
            outputs = deploy(aws, name, parameters)
            assert ("https://matrix.example.org" == outputs["ApiUrl"]) == bool(parameters), outputs
            count = compare_tables(aws, dynamodb, name, tables, prefix)
            found = check_functions(aws, name, functions)
            print(f"{name}: {count} tables equal to those of the embedded DynamoDB, {found} functions")
        fail_and_retry(aws, stack)


if __name__ == "__main__":
    main(*sys.argv[1:])
