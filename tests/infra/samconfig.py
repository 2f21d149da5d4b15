"""Checks the config environments of samconfig.toml: each must deploy its own build, also to a new AWS account."""

import re
import shlex
import tomllib

from template import ROOT

# Parameters that a first deployment to a new account must not set. ApiLogRole is among them, because two stages of
# one account would replace each other's role.
FIRST_DEPLOYMENT = ("HashConcurrency", "DeletionProtection", "ApiLogRole", "ApiRate", "ApiBurst")


def check(stack):
    """Yields all problems."""
    default = stack["Parameters"]["Architecture"]["Default"]
    with open(ROOT / "samconfig.toml", "rb") as file:
        environments = tomllib.load(file)
    del environments["version"]
    directories = set()
    for name, environment in environments.items():
        commands = {
            word: environment.get(word, {}).get("parameters", {})
            for word in ("build", "deploy", "local_start_api")
        }
        architectures = {
            word: architecture(own, default)
            for word, own in commands.items()
            if own or word != "local_start_api"
        }
        if len(set(architectures.values())) > 1:
            yield f"samconfig.toml: the commands of {name} use different architectures: {architectures}"
        directory = commands["build"].get("build_dir", ".aws-sam/build")
        template = commands["deploy"].get("template_file", ".aws-sam/build/template.yaml")
        if template != f"{directory}/template.yaml":
            yield f"samconfig.toml: {name} builds in {directory} but deploys {template}"
        if not commands["deploy"].get("tags"):
            yield f"samconfig.toml: the resources of {name} have no tags"
        for word, own in commands.items():
            for parameter, value in overrides(own).items():
                for problem in check_value(stack["Parameters"].get(parameter), value):
                    yield f"samconfig.toml: {parameter} of {name} {word} {problem}"
        # A new account has ten concurrent executions, of which none can be reserved, and a table that is protected from
        # the start prevents the second attempt after a failed deployment.
        for parameter in FIRST_DEPLOYMENT:
            if parameter in overrides(commands["deploy"]):
                yield f"samconfig.toml: {name} sets {parameter}, which a first deployment to a new account must not do"
        if directory in directories:
            yield f"samconfig.toml: {name} and another environment both build in {directory}"
        directories.add(directory)


def overrides(command):
    """Returns the parameters that a command sets."""
    given = command.get("parameter_overrides", [])
    # `sam deploy --guided` writes a single string instead of a list.
    items = shlex.split(given) if isinstance(given, str) else given
    return dict(item.split("=", 1) for item in items)


def architecture(command, default):
    """Returns the architecture that a command sets, or the default of the template."""
    return overrides(command).get("Architecture", default)


def check_value(parameter, value):
    """Yields the reasons for which CloudFormation would reject the value of a parameter."""
    if parameter is None:
        yield "is not a parameter of the template"
        return
    value = value.strip("'")
    if not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
        yield "does not match the pattern of the parameter"
    if len(value) > parameter.get("MaxLength", 4096):
        yield "is too long"
    if value not in map(str, parameter.get("AllowedValues", [value])):
        yield "is not an allowed value"
