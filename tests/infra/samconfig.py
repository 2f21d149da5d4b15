"""What is wrong with the stages of samconfig.toml: what a stage deploys must have been built for it."""

import shlex
import tomllib

from template import ROOT


def check(stack):
    default = stack["Parameters"]["Architecture"]["Default"]
    with open(ROOT / "samconfig.toml", "rb") as file:
        stages = tomllib.load(file)
    del stages["version"]
    directories = set()
    for name, stage in stages.items():
        command = {word: stage.get(word, {}).get("parameters", {}) for word in ("build", "deploy", "local_start_api")}
        processors = {word: processor(own, default) for word, own in command.items() if own or word != "local_start_api"}
        if len(set(processors.values())) > 1:
            yield f"samconfig.toml: {name} is for several processors: {processors}"
        directory = command["build"].get("build_dir", ".aws-sam/build")
        template = command["deploy"].get("template_file", ".aws-sam/build/template.yaml")
        if template != f"{directory}/template.yaml":
            yield f"samconfig.toml: {name} is built in {directory} and deployed from {template}"
        if directory in directories:
            yield f"samconfig.toml: another stage than {name} is built in {directory}, too"
        directories.add(directory)


def processor(command, default):
    overrides = command.get("parameter_overrides", [])
    # `sam deploy --guided` writes one text.
    items = shlex.split(overrides) if isinstance(overrides, str) else overrides
    given = dict(item.split("=", 1) for item in items)
    return given.get("Architecture", default)
