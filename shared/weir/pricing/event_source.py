"""What a request came through: some ways have a price of their own."""

from typing import Literal

type EventSource = Literal["function_url", "http_api", "rest_api", "alb", "direct"]
