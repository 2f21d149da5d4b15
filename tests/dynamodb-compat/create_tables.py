"""Creates the template's tables in a DynamoDB, and verifies a sender with an SES if there is one.

    create_tables.py DYNAMODB-URL PREFIX [SES-URL SENDER]

By boto3 and from the template's own properties, so that whoever creates them judges those too.
"""

import sys
from pathlib import Path

import boto3
import yaml

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
# What CloudFormation sets up in other calls than CreateTable.
NOT_IN_CREATE_TABLE = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification", "DeletionProtectionEnabled"}


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as what they stand before."""


def short_form(loader, _suffix, node):
    """The text, list or map behind a `!Sub`, `!Ref` or the like."""
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", short_form)


def client(service, url):
    """A client of `service` at `url`, with the names that the local house uses."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="admin",
        aws_secret_access_key="local",
    )


def create(dynamodb, prefix):
    """Creates every table, and switches on its time to live."""
    resources = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader)["Resources"].values()
    tables = [table["Properties"] for table in resources if table["Type"] == "AWS::DynamoDB::Table"]
    for table in tables:
        name = table["TableName"].replace("${AWS::StackName}", prefix)
        definition = {key: value for key, value in table.items() if key not in NOT_IN_CREATE_TABLE}
        if stream := definition.get("StreamSpecification"):
            # In CloudFormation to name the view is to want the stream.
            definition["StreamSpecification"] = {"StreamEnabled": True, **stream}
        dynamodb.create_table(**{**definition, "TableName": name})
        if time_to_live := table.get("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=time_to_live)
    return len(tables)


def main(dynamodb_url, prefix, ses_url=None, sender=None):
    """Does what the command line says."""
    print(f"{create(client('dynamodb', dynamodb_url), prefix)} tables")
    if ses_url:
        client("ses", ses_url).verify_email_identity(EmailAddress=sender)


main(*sys.argv[1:])
