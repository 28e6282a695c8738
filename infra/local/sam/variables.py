"""The environment variables that a function finds on Lambda, and the command that Lambda starts.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
"""

from collections.abc import Mapping

from ..execution.code import Placement
from .function import FunctionConfig

WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"


def variables(
    function: FunctionConfig,
    placement: Placement,
    runtime_api: str,
    log_stream: str,
    surroundings: Mapping[str, str],
) -> dict[str, str]:
    """All of them, and nothing of the caller's own environment; the function's own win, as they do on Lambda."""
    found = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LANG": "C.UTF-8",  # Lambda's en_US.UTF-8 is not installed everywhere; this one is
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": placement.task,
        "LAMBDA_RUNTIME_DIR": placement.runtime,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_LOG_LEVEL": function.application_log_level,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "_HANDLER": function.handler,
        # Nothing of the person who runs this: neither their packages nor their profile.
        "PYTHONNOUSERSITE": "1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if function.max_concurrency > 1:
        found["AWS_LAMBDA_MAX_CONCURRENCY"] = str(function.max_concurrency)
        found["AWS_LAMBDA_INITIALIZATION_TYPE"] = "lambda-managed-instances"
    found |= surroundings
    found |= {name: value for name, value in function.environment.items() if name != WRAPPER}
    if WRAPPER in function.environment:
        found[WRAPPER] = _wrapper(function, placement)
        if placement.mounts is None:
            # A wrapper looks for layers in /opt, which here is not ours.
            found["PYTHONPATH"] = placement.layer
    else:
        found["PYTHONPATH"] = ":".join((placement.task, placement.layer, placement.runtime))
    return found


def command(function: FunctionConfig, placement: Placement) -> list[str]:
    """The managed runtime's client; or the exec wrapper, which is given what would start that client."""
    if WRAPPER in function.environment:
        return [_wrapper(function, placement), placement.python, f"{placement.runtime}/bootstrap.py"]
    return [placement.python, "-P", "-m", "awslambdaric", function.handler]


def _wrapper(function: FunctionConfig, placement: Placement) -> str:
    wrapper = function.environment[WRAPPER]
    if wrapper.startswith("/var/task/"):
        return wrapper.replace("/var/task", placement.task, 1)
    return wrapper
