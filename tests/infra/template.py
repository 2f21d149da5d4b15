"""template.yaml, and the CloudFormation template that AWS's SAM transform makes of it."""

import json
import logging
import os
import re
from copy import deepcopy
from pathlib import Path

# The transform needs a region, but no credentials and no connection to AWS.
os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]

def load():
    """Returns template.yaml as `sam deploy` sends it to AWS.

    sam parses the file and writes it again without YAML aliases. The transform changes the template in place, so it
    would repeat a change of a value that several aliases share.
    """
    parsed = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    return json.loads(json.dumps(parsed))


SOURCE = load()
# The S3 location that `sam package` would have inserted.
CODE = {"Bucket": "code", "Key": "bootstrap.zip"}


def transform():
    """Returns the template that CloudFormation receives."""
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    template = deepcopy(SOURCE)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE
    session = boto3.Session(region_name=os.environ["AWS_DEFAULT_REGION"])
    return Translator({}, Parser(), boto_session=session).translate(template, {})


def of_type(template, kind):
    """Returns the resources of a type by their logical IDs."""
    return {name: it for name, it in template["Resources"].items() if it["Type"] == kind}


def routes():
    """Returns the paths of the API with their methods, as in template.yaml."""
    return SOURCE["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]


def logical_id(value):
    """Returns the logical ID that an intrinsic function refers to, or None if it is not a plain reference."""
    if not isinstance(value, dict):
        return None
    if "Ref" in value:
        return value["Ref"]
    attribute = value.get("Fn::GetAtt")
    if attribute:
        return attribute[0] if isinstance(attribute, list) else attribute.split(".")[0]
    pattern = value.get("Fn::Sub")
    found = isinstance(pattern, str) and re.match(r"\$\{(\w+)\.Arn\}", pattern)
    return found.group(1) if found else None
