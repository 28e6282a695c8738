"""How values are written in SQL, for DuckDB and Athena alike."""


def text_literal(text: str) -> str:
    """Text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
