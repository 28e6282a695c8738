"""A laptop's AWS: the unmodified functions of template.yaml, run as child processes behind our own Lambda.

`python -m infra.local dev` keeps it up and prints its URLs, `python -m infra.local demo` shows it at work, and
`async with LocalAws() as aws:` is for tests.
"""
