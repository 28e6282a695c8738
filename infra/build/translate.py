"""Puts template.yaml through SAM's translator, as CloudFormation will: `python infra/build/translate.py template.yaml`.

With `--json` it reads a JSON list from standard input, each a map of parameters, and prints what each of them gives.

`sam validate` without AWS credentials checks the template's shape, and accepts properties that the translator then
refuses at deployment. Runs in SAM's environment; addresses of artifacts are made up, since nothing is uploaded.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_dump, yaml_parse
from samtranslator.translator.transform import transform

OPTIONS: dict[str, dict[str, str]] = {
    "defaults": {},
    "everything on": {
        "Architecture": "x86_64",
        "Revision": "0" * 64,
        "UpstreamKey": "secretsmanager:weir/upstream",
        "UpstreamKeyKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0a1b",
        "CorsOrigins": "https://one.example,https://two.example",
        "EnableRestApi": "true",
        "EnableAccessTable": "true",
        "GenerateUrlAuth": "NONE",
        "EnableSnapStart": "true",
        "EnableCanary": "true",
        "CapacityProviderArn": "arn:aws:lambda:eu-central-1:123456789012:capacity-provider:shared",
        "MonthlyBudgetUsd": "250",
        "AthenaOverMegabytes": "0",
        "CostAlarmUsd": "2.5",
        "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
    },
}


class NoManagedPolicies:
    """Every role of the template is its own; the translator must not add AWS's broad ones."""

    def load(self) -> dict[str, str]:
        return {}


def translated(template: str, parameters: dict[str, str]) -> dict[str, Any]:
    """CloudFormation's view of a SAM template. Raises: InvalidDocumentException with every complaint."""
    # Dumped and read again, as sam deploy does it: YAML aliases become copies.
    document = yaml_parse(yaml_dump(yaml_parse(template)))
    for resource in document["Resources"].values():
        properties = resource["Properties"]
        for code in ("CodeUri", "ContentUri"):
            if code in properties:
                properties[code] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::Application":
            properties["Location"] = "https://s3.amazonaws.com/bucket/key"
    translated: dict[str, Any] = transform(document, parameters, NoManagedPolicies())
    return translated


def main(path: str, *options: str) -> None:
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")  # the translator names the partition after it
    logging.disable(logging.ERROR)  # the translator reports its own missing feature flags
    template = Path(path).read_text()
    if options == ("--json",):
        json.dump([translated(template, parameters) for parameters in json.load(sys.stdin)], sys.stdout)
        return
    for name, parameters in OPTIONS.items():
        resources = translated(template, parameters)["Resources"]
        print(f"{path}, {name}: {len(resources)} CloudFormation resources")


if __name__ == "__main__":
    main(*sys.argv[1:])
