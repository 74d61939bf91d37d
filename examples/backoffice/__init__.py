"""A small system of record: customers, orders, payments, refunds, tickets and replies over HTTP.

It plays another team's service. It knows Countersign only as the issuer of the tokens it verifies.
Run it with ``python -m examples.backoffice``; README.md lists the endpoints.
"""
