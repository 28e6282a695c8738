"""What the template's roles allow, as it is deployed, and what of that was asked for.

A grant is one action on one resource for one function, with the parameters' values in it. AWS also uses a function's
role by itself: what it then asks for is the reason of a grant that the function's code never uses.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from infra.local.sam.template import Template
from tests.recording import Permission


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """An action that a function may do, on the resources whose ARNs match."""

    function: str
    action: str
    resource: str

    def covers(self, asked: Permission) -> bool:
        """Whether a request is allowed by it."""
        return asked.action == self.action and fnmatchcase(asked.resource, self.resource)


def grants(template: Template) -> Iterator[Grant]:
    """All that the functions of a stack may do, but for writing their own log, which Lambda does."""
    roles = template.resources_of("AWS::IAM::Role")
    for function, properties in template.resources_of("AWS::Serverless::Function").items():
        role = template.resolve(roles[properties["Role"]["Fn::GetAtt"][0]])
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"] if policy["PolicyName"] != "log" else ():
                assert statement["Effect"] == "Allow" and "Condition" not in statement
                for action in _listed(statement["Action"]):
                    for resource in _listed(statement["Resource"]):
                        # One statement may name two services' actions and resources: IAM pairs them.
                        if resource == "*" or resource.split(":")[2] == action.partition(":")[0]:
                            yield Grant(function, action, resource)


def findings(
    granted: Collection[Grant], asked: Mapping[str, Iterable[Permission]], by_aws: Mapping[Grant, str]
) -> list[str]:
    """What a role allows too much or too little, a line each; `asked` is by function, `by_aws` names reasons."""
    found = []
    for function, permissions in sorted(asked.items()):
        for one in sorted(permissions):
            if not any(grant.function == function and grant.covers(one) for grant in granted):
                found.append(
                    f"{function} asks for {one.action} on {one.resource}: its role does not allow it"
                )
    for grant in sorted(granted):
        if grant not in by_aws and not any(map(grant.covers, asked.get(grant.function, ()))):
            found.append(
                f"{grant.function} may {grant.action} on {grant.resource}, and never does: take it away"
            )
    for grant in sorted(set(by_aws) - set(granted)):
        found.append(
            f"{grant.function} may not {grant.action} on {grant.resource}, which is said to be for {by_aws[grant]}"
        )
    return found


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
