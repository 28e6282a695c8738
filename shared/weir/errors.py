"""The one tree of errors; its branches say whose fault it is, and its leaves stand beside the code that raises them.

    WeirError
    ├── Problem               one request failed: what its caller is told, with the outcome (problems.py)
    │   └── CallFailed            a call of a provider that brought no answer (providers/upstream.py)
    ├── CallerError           what was asked cannot be done as it was asked
    │   ├── FieldError            a parameter of a report (reports/params.py)
    │   ├── CursorError           a page's cursor (reports/cursors.py)
    │   ├── ExportError           an export (reports/export.py)
    │   ├── TooBig                more than one answer holds (reports/engine.py)
    │   ├── MonthError            a month's name (ledger/s3_keys.py)
    │   ├── CloseError            a month that cannot be closed (ledger/close.py)
    │   ├── UnknownSchema         a schema's name (schemas)
    │   ├── SchemaRefused         a schema that a caller brings (generate/caller_schema.py)
    │   ├── ToolsRefused          the tools of a chat completion (generate/chat_tools.py)
    │   ├── Unauthorized          a key that opens nothing (access/admission.py)
    │   ├── NotPassed             a parameter that a model's protocol has no place for (providers/call.py)
    │   ├── TaskError             a task of the ledger's jobs (functions/ledger_jobs)
    │   ├── UsageError            a command line (infra/costs)
    │   └── AnotherPriceBook      pricing again with other prices than the stack's (infra/costs)
    ├── ConfigurationError    what we were set up with cannot be used
    │   ├── SettingsError         an environment variable (generate/settings.py)
    │   ├── NoCredentials         AWS's, for who asks at the command line (infra/costs)
    │   ├── RoutesError           the models' file (providers/routes.py)
    │   ├── SchemaNotExpressible  a schema that a provider has no words for (providers/profiles.py)
    │   ├── SchemaFileError       a schema's file (schemas)
    │   ├── SchemaCheckError      schemas that cannot be asked for, or hold the loop (generate/checks.py)
    │   ├── CredentialsError      the role's credentials (providers/role_credentials.py)
    │   ├── Unpriced              what a scenario needs the price of, and has none (reports/unit_prices.py)
    │   └── PriceBookError        a price record, or a contract's prices (pricing/price_records.py);
    │                             OverridesUnreadable where none can be read (pricing/overrides.py)
    ├── DataError             bytes that came, or were stored, are not what they should be
    │   ├── BrokenEncoding        a compressed body (providers/inflate.py)
    │   ├── BatchError            a log subscription's batch (ledger/log_subscription.py)
    │   └── BillError             a bill's file (infra/costs)
    ├── StorageError          what keeps or reads the ledger did not answer, or refused
    │   ├── StoreError            S3 (ledger/store.py)
    │   ├── AccessStoreError      DynamoDB; ConditionFailed where others were quicker (access/dynamodb.py)
    │   ├── PriceListError        AWS's price list (pricing/aws_offers.py)
    │   ├── LogsError             CloudWatch Logs (ledger/log_groups.py)
    │   ├── AthenaError           Athena; AthenaRunning where it only takes longer (reports/athena.py)
    │   ├── DuckError             DuckDB (ledger/duck.py)
    │   └── LedgerJobsError       the function of the ledger's jobs (reports/export_jobs.py)
    └── ProcessError          a child process of ours
        └── ChildFailed           the validator's (generate/validator_process.py)

A message says what was expected, what came and where. The two distributions beside weir have trees of their own:
they can be installed without it.
"""


class WeirError(Exception):
    """Any error of ours; the command line and finance's API catch this."""


class CallerError(WeirError):
    """What was asked cannot be done as it was asked: the one who asks can mend it."""


class ConfigurationError(WeirError):
    """What we were set up with cannot be used: whoever deploys can mend it."""


class DataError(WeirError):
    """Bytes that came, or were stored, are not what they should be."""


class StorageError(WeirError):
    """What keeps or reads the ledger did not answer, or refused; it may later."""


class ProcessError(WeirError):
    """A child process of ours ended or answered nonsense."""
