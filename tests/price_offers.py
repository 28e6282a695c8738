"""Cuts of AWS's bulk price list, in its own format: https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/..."""

from typing import Any


def dimension(begin: str, end: str, usd: str, unit: str) -> dict[str, Any]:
    return {
        "rateCode": f"X.JRTCKXETXF.{begin}",
        "description": "as the list has it",
        "beginRange": begin,
        "endRange": end,
        "unit": unit,
        "appliesTo": [],
        "pricePerUnit": {"USD": usd},
    }


def offer(
    code: str = "AWSLambda", region: str = "eu-west-1", **usage_types: list[dict[str, Any]]
) -> dict[str, Any]:
    """A cut of an offer file, in the format of the Price List Bulk API (formatVersion v1.0)."""
    products, terms = {}, {}
    for number, (usage_type, dimensions) in enumerate(usage_types.items()):
        sku = f"SKU{number}"
        attributes = {"servicecode": code, "location": "EU (Ireland)", "regionCode": region,
                      "usagetype": f"EU-{usage_type.replace('_', '-')}" if number % 2 else f"EUW1-{usage_type.replace('_', '-')}",
                      "group": "AWS-Lambda-Duration", "servicename": "AWS Lambda"}  # fmt: skip
        products[sku] = {"sku": sku, "productFamily": "Serverless", "attributes": attributes}
        terms[sku] = {
            f"{sku}.JRTCKXETXF": {
                "offerTermCode": "JRTCKXETXF",
                "sku": sku,
                "effectiveDate": "2026-11-01T00:00:00Z",
                "priceDimensions": {f"d{index}": part for index, part in enumerate(dimensions)},
                "termAttributes": {},
            }
        }
    return {
        "formatVersion": "v1.0",
        "disclaimer": "This pricing list is for informational purposes only.",
        "offerCode": code,
        "version": "20261112000000",
        "publicationDate": "2026-11-12T00:00:00Z",
        "products": products,
        "terms": {"OnDemand": terms},
    }


LAMBDA = offer(
    Lambda_GB_Second=[
        dimension("6000000000", "15000000000", "0.0000150000", "seconds"),
        dimension("0", "6000000000", "0.0000166667", "seconds"),
        dimension("15000000000", "Inf", "0.0000133334", "seconds"),
    ],
    Request=[dimension("0", "Inf", "0.0000002000", "Requests")],
    Request_ARM=[dimension("0", "Inf", "0.0000002000", "Requests")],
    Lambda_Edge_Request=[dimension("0", "Inf", "0.0000006000", "Requests")],
)
