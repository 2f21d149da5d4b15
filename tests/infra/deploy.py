"""Deploys the transform template to moto's CloudFormation and compares the tables with the embedded engine's.

    deploy.py GATEHOUSE-LOCAL
"""

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
from template import CODE, of_type, transform

REGION = "eu-central-1"
# moto gives an API no methods from a document, and so refuses to deploy it.
UNSUPPORTED_BY_MOTO = ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage", "AWS::ApiGateway::BasePathMapping")
# Nothing optional, and everything of which moto knows the resources.
STACKS = {
    "plain": {},
    "all": {
        "AlarmEmail": "operator@example.org",
        "ApiLogRole": "keep",
        "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/a",
        "DomainName": "matrix.example.org",
        "HashConcurrency": "20",
        "MailDomain": "example.org",
        "MailFrom": "Example <accounts@example.org>",
        "SmsCountries": "DE AT",
        "WafRate": "2000",
    },
}


@contextmanager
def process(*command):
    """Runs a program for a while."""
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def moto():
    """All of AWS, on one port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with process(Path(sys.executable).with_name("moto_server"), "--host", "127.0.0.1", "--port", str(port)) as server:
        while server.poll() is None:
            try:
                urllib.request.urlopen(url).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url


@contextmanager
def engine(program):
    """The embedded DynamoDB, with the tables that the service makes there; its address and their prefix."""
    with process(program, "services", "--dynamodb-port", "0", "--messages-port", "0") as services:
        variables = {}
        while not {"AWS_ENDPOINT_URL_DYNAMODB", "GATEHOUSE_TABLES"} <= variables.keys():
            name, value = re.fullmatch(r"export (\w+)='(.*)'\n", services.stdout.readline()).groups()
            variables[name] = value
        yield variables["AWS_ENDPOINT_URL_DYNAMODB"], variables["GATEHOUSE_TABLES"]


def client(service, url, region=REGION):
    """A client with the names that the local house uses."""
    return boto3.client(
        service, endpoint_url=url, region_name=region, aws_access_key_id="admin", aws_secret_access_key="local"
    )


def upload(url, stack):
    """Puts code and template where CloudFormation finds them; the latter is too large to be sent along."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("bootstrap", "")
    s3 = client("s3", url)
    s3.create_bucket(Bucket=CODE["Bucket"], CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=CODE["Bucket"], Key=CODE["Key"], Body=archive.getvalue())
    s3.put_object(Bucket=CODE["Bucket"], Key="template.json", Body=json.dumps(stack, default=str))


def deploy(url, name, parameters):
    """Makes a stack and returns its outputs."""
    cloudformation = client("cloudformation", url)
    given = {"ServerName": "example.org", "RegistrationFlows": "m.login.registration_token+m.login.dummy", **parameters}
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=f"https://s3.amazonaws.com/{CODE['Bucket']}/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    made = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    return {output["OutputKey"]: output["OutputValue"] for output in made.get("Outputs", [])}


def table(tables, name):
    """What a table is, as far as a program that uses it can tell."""
    it = tables.describe_table(TableName=name)["Table"]
    indexes = it.get("GlobalSecondaryIndexes", [])
    return {
        "attributes": sorted((one["AttributeName"], one["AttributeType"]) for one in it["AttributeDefinitions"]),
        "keys": it["KeySchema"],
        "indexes": [(one["IndexName"], one["KeySchema"], one["Projection"]["ProjectionType"]) for one in indexes],
        "stream": it.get("StreamSpecification"),
    }


def compare_tables(aws, dynamodb, stack, written, prefix):
    """The stack's tables are the embedded engine's."""
    theirs, ours = client("dynamodb", aws), client("dynamodb", dynamodb, "us-east-1")
    suffixes = [it["Properties"]["TableName"]["Fn::Sub"].removeprefix("${AWS::StackName}") for it in written]
    here = ours.list_tables()["TableNames"]
    assert sorted(prefix + suffix for suffix in suffixes) == sorted(here), here
    for suffix, it in zip(suffixes, written):
        there, here = table(theirs, stack + suffix), table(ours, prefix + suffix)
        assert there == here, f"{suffix}: {there} on AWS, {here} here"
        # moto's CloudFormation does not set this up.
        expiry = it["Properties"].get("TimeToLiveSpecification", {}).get("AttributeName")
        here = ours.describe_time_to_live(TableName=prefix + suffix)["TimeToLiveDescription"].get("AttributeName")
        assert expiry == here, f"{suffix}: rows expire by {expiry} on AWS, by {here} here"
    assert theirs.describe_table(TableName=f"{stack}-accounts")["Table"]["DeletionProtectionEnabled"]
    return len(suffixes)


def check_functions(aws, name, count):
    """Every function is there with its settings, and the sending one is fed by the stream."""
    functions = client("lambda", aws)
    pages = functions.get_paginator("list_functions").paginate()
    found = [one for page in pages for one in page["Functions"] if one["FunctionName"].startswith(f"{name}-")]
    assert len(found) == count, f"{len(found)} functions"
    for one in found:
        variables = one["Environment"]["Variables"]
        assert variables["GATEHOUSE_TABLES"] == name and variables["GATEHOUSE_SERVER_NAME"] == "example.org", variables
        size = sum(len(key) + len(str(value)) for key, value in variables.items())
        assert size < 3072, f"{size} bytes of 4,096 in the environment of {one['FunctionName']}"
    feeds = functions.list_event_source_mappings()["EventSourceMappings"]
    mine = [feed for feed in feeds if f"/{name}-outbox/" in feed["EventSourceArn"]]
    assert len(mine) == 1 and mine[0]["BatchSize"] == 10, feeds
    return len(found)


def main(program):
    """Does what the command line says."""
    stack = transform()
    stack["Resources"] = {name: it for name, it in stack["Resources"].items() if it["Type"] not in UNSUPPORTED_BY_MOTO}
    # It does not know the resources that the others are about.
    stack["Outputs"] = {key: stack["Outputs"][key] for key in ("ApiUrl", "Tables")}
    functions = len(of_type(stack, "AWS::Lambda::Function"))
    written = of_type(stack, "AWS::DynamoDB::Table").values()
    with moto() as aws, engine(program) as (dynamodb, prefix):
        upload(aws, stack)
        for name, parameters in STACKS.items():
            outputs = deploy(aws, name, parameters)
            assert ("https://matrix.example.org" == outputs["ApiUrl"]) == bool(parameters), outputs
            tables = compare_tables(aws, dynamodb, name, written, prefix)
            found = check_functions(aws, name, functions)
            print(f"{name}: {tables} tables as the engine has them, {found} functions")


main(*sys.argv[1:])
