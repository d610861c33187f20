"""`smsbridge demo`: the whole product on one machine against the sandbox, with a report at the end.

Drives what a user drives: the console script, manifests, the portal's buttons. Looks into nothing but the
product's public doors and the sandbox's own books.
"""
