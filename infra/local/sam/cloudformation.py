"""CloudFormation's template language, as far as it says what there is: tags, parameters, conditions, functions.

Intrinsic functions are resolved with the parameters' defaults or the values given; one that is not known here is an
error that names it, never a guess.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from .function import ACCOUNT_ID

NO_VALUE = object()
# What the attribute Arn holds, after `arn:aws:`.
_ARNS = {
    "AWS::Serverless::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::S3::Bucket": "s3:::{name}",
}
NESTED = ("AWS::Serverless::Application", "AWS::CloudFormation::Stack")


class TemplateError(Exception):
    """The template says something that the laptop's AWS cannot follow (the message says what, and where)."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's is faster, and not in every build of yaml
    """YAML with CloudFormation's short tags, in their long form afterwards."""


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _construct)


class CloudFormation:
    """A template file with values for its parameters.

    Raises:
        TemplateError: it uses what is not known here, or a parameter has no value.
    """

    def __init__(
        self, path: Path, parameters: Mapping[str, str] | None = None, *, region: str, stack: str = "weir"
    ) -> None:
        self.path = path
        self._stack = stack
        self.region = region
        self.document: dict[str, Any] = yaml.load(path.read_text(), _Loader)
        self._given = dict(parameters or {})
        self._nested: dict[str, Self] = {}
        unknown = self._given.keys() - self.document.get("Parameters", {}).keys()
        if unknown:
            raise TemplateError(f"{path.name}: no parameters {sorted(unknown)}")
        self._pseudo: dict[str, Any] = {
            "AWS::Region": region,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack,
            "AWS::NoValue": NO_VALUE,
        }

    def resources_of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the resources of a type whose conditions hold, by logical id, not resolved."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.document["Resources"].items()
            if resource["Type"] == kind and self._holds(resource.get("Condition"))
        }

    def physical_id(self, name: str) -> str:
        """What `Ref` gives for a resource: the name that it has, or would be given."""
        resource = self.document["Resources"][name]
        properties = resource.get("Properties", {})
        named = {"AWS::Logs::LogGroup": "LogGroupName", "AWS::S3::Bucket": "BucketName"}.get(resource["Type"])
        if named in properties:
            return str(self.resolve(properties[named]))
        if resource["Type"] == "AWS::S3::Bucket":
            return f"{self._stack}-{name}".lower()
        return name

    def nested(self, name: str) -> Self:
        """The template of a nested stack; read once, though each output is asked for by itself."""
        if name in self._nested:
            return self._nested[name]
        properties = self.document["Resources"][name]["Properties"]
        location = properties.get("Location") or properties["TemplateURL"]
        parameters = {
            key: str(self.resolve(value)) for key, value in properties.get("Parameters", {}).items()
        }
        path = self.path.parent / location
        found = type(self)(path, parameters, region=self.region, stack=f"{self._stack}-{name}")
        self._nested[name] = found
        return found

    # ---- intrinsic functions

    def resolve(self, value: Any) -> Any:
        """`value` with every intrinsic function replaced by its result."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(key, argument)] = value.items()
            if key == "Ref" or key.startswith("Fn::"):
                return self._call(key, argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                return self._get_att(*argument)
            case "Fn::Sub":
                text, local = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^!}][^}]*)\}", lambda found: self._substitute(found[1], local), text)
            case "Fn::Join":
                return argument[0].join(self.resolve(argument[1]))
            case "Fn::Select":
                return self.resolve(argument[1])[int(argument[0])]
            case "Fn::Split":
                return self.resolve(argument[1]).split(argument[0])
            case "Fn::If":
                return self.resolve(argument[1 if self._holds(argument[0]) else 2])
            case "Fn::Equals":
                return self.resolve(argument[0]) == self.resolve(argument[1])
            case "Fn::Not":
                return not self._condition(argument[0])
            case "Fn::And":
                return all(map(self._condition, argument))
            case "Fn::Or":
                return any(map(self._condition, argument))
        raise TemplateError(f"{self.path.name}: expected an intrinsic function known here, got {name}")

    def _condition(self, value: Any) -> bool:
        return self._holds(value["Condition"]) if "Condition" in value else bool(self.resolve(value))

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self.resolve(self.document["Conditions"][condition]))

    def _ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self.document.get("Parameters", {}):
            parameter = self.document["Parameters"][name]
            value = self._given.get(name, parameter.get("Default"))
            if value is None:
                raise TemplateError(
                    f"{self.path.name}: parameter {name} has no default and was given no value"
                )
            return [part.strip() for part in value.split(",")] if "List" in parameter["Type"] else str(value)
        if name in self.document["Resources"]:
            return self.physical_id(name)
        if name.partition(".")[0] in self.document["Resources"]:
            return name  # what SAM adds to a resource, such as a function's .Alias
        raise TemplateError(f"{self.path.name}: nothing is called {name}")

    def _substitute(self, name: str, local: Mapping[str, Any]) -> str:
        if name in local:
            return str(self.resolve(local[name]))
        resource, dot, attribute = name.partition(".")
        return str(self._get_att(resource, attribute) if dot else self._ref(name))

    def _get_att(self, name: str, attribute: str) -> str:
        resource = self.document["Resources"].get(name)
        if resource is None:
            raise TemplateError(f"{self.path.name}: no resource {name} for attribute {attribute}")
        if resource["Type"] in NESTED and attribute.startswith("Outputs."):
            nested = self.nested(name)
            return str(
                nested.resolve(nested.document["Outputs"][attribute.removeprefix("Outputs.")]["Value"])
            )
        if attribute == "Arn" and (form := _ARNS.get(resource["Type"])):
            named = form.format(region=self.region, account=ACCOUNT_ID, name=self.physical_id(name))
            return f"arn:aws:{named}"
        service = resource["Type"].split("::")[1].lower().replace("serverless", "lambda")
        return f"arn:aws:{service}:{self.region}:{ACCOUNT_ID}:{self.physical_id(name)}/{attribute}"
