"""Who asks, and how much they may spend: identity, own keys, limits and budgets, once-only requests, stored answers.

identity.py, api_keys.py   who a caller is, and which tenant they belong to
tenant_item.py             limits and budgets of a tenant as one DynamoDB item
admission.py               who gets in: reserve before a call, settle after it
leases.py                  a slice of a budget for a process, of a tenant that comes often
settlement.py              what killed requests left, settled by the ledger
answers.py                 a request that is asked once, and answers that are given again
answer_store.py            those answers, in their table
stop_flags.py              a caller ends what runs in another process
dynamodb.py                the table, by signed HTTP
"""
