"""A charge taken apart: so many of a unit, by what one costs, is the amount; with the record that says so.

`price_request` writes these lines down while it prices, for whoever asks why a request costs what it does.
"""

from dataclasses import dataclass
from decimal import Decimal

from weir.pricing.price_records import Price
from weir.pricing.quantities import TokensBought

# The component that an AWS item is charged under.
COMPONENT_OF_ITEM = {
    "duration": "lambda_duration",
    "provisioned_duration": "lambda_duration",
    "managed_instances_memory": "lambda_duration",
    "request": "lambda_request",
    "streamed_bytes": "lambda_streamed_bytes",
    "ephemeral_storage": "lambda_ephemeral_storage",
    "snapstart_restore": "lambda_restore",
    "api_gateway_request": "api_gateway",
    "logs_ingestion": "logs",
}


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One product of a request's price; lines of a component sum to it exactly.

    `quantity` is of `price.unit`, `unit_price` that of the tier which holds for this request. A line for tokens has its
    attempt, from 1, and what was bought of whom; a line of AWS's has neither.
    """

    component: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    price: Price
    attempt: int | None = None
    bought: TokensBought | None = None
