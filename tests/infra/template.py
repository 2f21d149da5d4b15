"""template.yaml, and the CloudFormation that AWS's own transform makes of it."""

import logging
import os
import re
from copy import deepcopy
from pathlib import Path

# The transform asks for a region, and for nothing else of AWS.
os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
SOURCE = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
# Where `sam package` would have put the code.
CODE = {"Bucket": "code", "Key": "bootstrap.zip"}


def transform():
    """What CloudFormation gets."""
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    template = deepcopy(SOURCE)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE
    session = boto3.Session(region_name=os.environ["AWS_DEFAULT_REGION"])
    return Translator({}, Parser(), boto_session=session).translate(template, {})


def of_type(template, kind):
    """The resources of a type, by logical id."""
    return {name: it for name, it in template["Resources"].items() if it["Type"] == kind}


def routes():
    """Every path of the API with its methods, as the template writes them."""
    return SOURCE["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]


def logical_id(value):
    """The logical id that an intrinsic function refers to, if it refers to one and nothing more."""
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
