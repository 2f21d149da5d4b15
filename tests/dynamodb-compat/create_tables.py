"""Creates the tables of template.yaml in a DynamoDB and, if an SES is given, verifies a sender address there.

Usage: `create_tables.py DYNAMODB-URL PREFIX [SES-URL SENDER]`.

The properties are passed from the template to boto3 unchanged, so that the engine validates them too.
"""

import sys
from pathlib import Path

import boto3
import yaml

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
# Properties that CloudFormation sets with other API calls than CreateTable.
NOT_IN_CREATE_TABLE = {
    "PointInTimeRecoverySpecification",
    "TimeToLiveSpecification",
    "DeletionProtectionEnabled",
}


class Loader(yaml.SafeLoader):
    """A YAML loader that replaces CloudFormation's intrinsic functions by their arguments."""


def construct_argument(loader, _suffix, node):
    """Returns the string, list or map after a tag such as `!Sub` or `!Ref`."""
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", construct_argument)


def client(service, url):
    """Returns a client of `service` at `url`, with the region and credentials that gatehouse-local uses."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="admin",
        aws_secret_access_key="local",
    )


def create(dynamodb, prefix):
    """Creates every table, enables its time to live and returns the number of tables."""
    resources = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader)["Resources"].values()
    tables = [table["Properties"] for table in resources if table["Type"] == "AWS::DynamoDB::Table"]
    for table in tables:
        name = table["TableName"].replace("${AWS::StackName}", prefix)
        definition = {key: value for key, value in table.items() if key not in NOT_IN_CREATE_TABLE}
        if stream := definition.get("StreamSpecification"):
            # CloudFormation has no StreamEnabled: a StreamSpecification implies it.
            definition["StreamSpecification"] = {"StreamEnabled": True, **stream}
        dynamodb.create_table(**{**definition, "TableName": name})
        if time_to_live := table.get("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=time_to_live)
    return len(tables)


def main(dynamodb_url, prefix, ses_url=None, sender=None):
    """Runs the command line."""
    print(f"{create(client('dynamodb', dynamodb_url), prefix)} tables")
    if ses_url:
        client("ses", ses_url).verify_email_identity(EmailAddress=sender)


main(*sys.argv[1:])
