"""Refresh a Region's prices from AWS's own bulk price list, which is public JSON.

    make prices REGION=eu-west-1            # fetches the offers of that Region, writes data/aws/eu-west-1.json
    python infra/prices/aws.py eu-west-1 --offers FOLDER      # from files that were fetched before

What becomes of them is decided in weir.pricing.aws_price_list. What the book wants and the list lacks is printed.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, before anything of ours is installed
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "shared")]

from infra.prices.index import DATA, write_index
from weir.errors import WeirError
from weir.pricing.aws_offers import fetch_offers
from weir.pricing.aws_price_list import refreshed
from weir.pricing.price_book import PriceBook


def write_region(folder: Path, region: str, offers: Iterable[Mapping[str, Any]]) -> str:
    """Write a Region's file anew from its offers; return what changed, in a sentence. Raises WeirError."""
    target = folder / "aws" / f"{region}.json"
    old = json.loads(target.read_text()) if target.exists() else {}
    done = refreshed(old, offers, region)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(done.text)
    return f"{region}: {done.new} of {len(done.document['records'])} records are new" + (
        f"; not in the list: {', '.join(done.lacking)}" if done.lacking else ""
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Refresh the Regions named, and the index; load the book."""
    parser = argparse.ArgumentParser(description="Refresh AWS's prices of a Region in the price book.")
    parser.add_argument("regions", nargs="+", help="such as eu-central-1")
    parser.add_argument("--offers", type=Path, help="a folder of offer files (*.json) instead of AWS")
    parser.add_argument("--folder", type=Path, default=DATA, help="the book's folder")
    options = parser.parse_args(arguments)
    for region in options.regions:
        try:
            print(write_region(options.folder, region, _offers(options.offers, region)))
        except WeirError as error:
            raise SystemExit(f"{region}: {error}") from error
    version = write_index(options.folder)
    PriceBook.load(folder=options.folder).check()
    print(f"price book {version}")
    return 0


def _offers(folder: Path | None, region: str) -> Iterator[Mapping[str, Any]]:
    if folder is None:
        return fetch_offers(region)
    return (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))


if __name__ == "__main__":
    raise SystemExit(main())
