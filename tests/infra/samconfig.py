"""Checks the config environments of samconfig.toml: each must deploy the build that was made for it."""

import shlex
import tomllib

from template import ROOT


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
        if directory in directories:
            yield f"samconfig.toml: {name} and another environment both build in {directory}"
        directories.add(directory)


def architecture(command, default):
    """Returns the architecture that a command sets, or the default of the template."""
    overrides = command.get("parameter_overrides", [])
    # `sam deploy --guided` writes a single string instead of a list.
    items = shlex.split(overrides) if isinstance(overrides, str) else overrides
    given = dict(item.split("=", 1) for item in items)
    return given.get("Architecture", default)
