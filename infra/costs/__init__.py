"""The command line `costs`: the ledger's reports, exports, reconciliation and closing, for whoever may read the bucket.

It calls the use cases that the functions call, with the caller's own AWS credentials, so nothing has to be deployed
but the bucket. `dashboard` opens finance's page through a proxy on loopback that signs each request.
"""
